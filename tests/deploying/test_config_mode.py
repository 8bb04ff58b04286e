"""Config mode: canary first, stable in a second request, other models untouched, and back where anything is wrong."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.deploying.conftest import QUICK, SHORT, endpoints, watched
from toolkit.deploying import records
from toolkit.deploying.canary import ConfigRollout
from toolkit.deploying.config_file import CANARY, STABLE, ConfigFile
from toolkit.deploying.deployment import Plan, deploy
from toolkit.deploying.gate import Limits
from toolkit.deploying.layout import Layout
from toolkit.deploying.rollout import Production
from toolkit.errors import DeployError, ExitCode, ServingError, UnavailableError, UsageError
from toolkit.runtimes.served import ask_label, open_remote
from toolkit.serving.host import Host
from toolkit.wire.endpoints import Remote
from toolkit.wire.messages import Endpoint, Protocol, Target

Publish = Callable[[int], None]
Make = Callable[..., Path]
PlanOf = Callable[..., Plan]
POLLED = {"model_config_file_poll_wait_seconds": 0.05}


def rollout(
    config: ConfigFile, host: Host, limits: Limits = QUICK, *, by_request: bool = True, hold: bool = False
) -> ConfigRollout:
    return ConfigRollout(config, watched(host, limits), by_request, hold)


def labels(host: Host) -> dict[str, int | None]:
    grpc, _ = endpoints(host)
    return {label: ask_label(grpc, Target("times", label=label)) for label in (STABLE, CANARY)}


def answer(host: Host, model: str, label: str) -> float:
    with open_remote(Remote(endpoints(host)[0], Target(model, label=label))) as runner:
        return float(runner.run({"x": np.array([1.0], np.float32)})["y"][0])


@pytest.mark.parametrize("by_request", [True, False])
def test_a_version_becomes_canary_and_then_stable(
    layout: Layout, config: ConfigFile, serve: Callable[..., Host], ungated: PlanOf, bundle: Make, *, by_request: bool
) -> None:
    host = serve(**({} if by_request else POLLED))
    done = deploy(ungated(bundle(9.0, 3), rollout=rollout(config, host, by_request=by_request)))
    names = [found.name for found in done.findings]
    assert names[names.index("add") :] == [
        "add",
        "canary",
        "answers over grpc (serving_default)",
        "answers over rest (serving_default)",
        "latency",
        "stable",
        "stable: answers over grpc (serving_default)",
        "stable: answers over rest (serving_default)",
    ]
    assert labels(host) == {STABLE: 3, CANARY: 3}
    assert config.read(layout).versions == (1, 3)
    assert (answer(host, "times", STABLE), answer(host, "other", STABLE)) == (9.0, 7.0)
    assert {"add", "canary", "stable", "rollout"} <= {record.step for record in records.read(layout)}


def test_a_request_and_a_polled_file_do_not_undo_each_other(
    config: ConfigFile, serve: Callable[..., Host], ungated: PlanOf, bundle: Make
) -> None:
    host = serve(**POLLED)
    deploy(ungated(bundle(9.0, 3), rollout=rollout(config, host)))
    deploy(ungated(bundle(10.0, 4), rollout=rollout(config, host)))
    assert labels(host) == {STABLE: 4, CANARY: 4}


def test_the_old_versions_are_let_go_and_the_one_before_stays(
    layout: Layout, config: ConfigFile, serve: Callable[..., Host], ungated: PlanOf, bundle: Make
) -> None:
    host = serve()
    for version in (3, 4):
        deploy(ungated(bundle(9.0 + version, version), rollout=rollout(config, host)))
    assert config.read(layout).versions == (3, 4)


@pytest.mark.parametrize(
    ("fault", "limits", "said"),
    [
        ("wrong@3", QUICK, "answers over grpc"),
        ("broken@3", QUICK, "production: .*cannot load version 3|an op is not known here"),
        ("hangs@3", SHORT, "production did not serve version 3"),
    ],
)
def test_a_bad_canary_never_becomes_stable(
    layout: Layout,
    config: ConfigFile,
    serve: Callable[..., Host],
    ungated: PlanOf,
    bundle: Make,
    *,
    fault: str,
    limits: Limits,
    said: str,
) -> None:
    host = serve(fault)
    before = config.read(layout)
    with pytest.raises(DeployError, match=f"version 3 was taken out again: .*({said})") as caught:
        deploy(ungated(bundle(9.0, 3), rollout=rollout(config, host, limits)))
    assert (caught.value.exit_code, caught.value.hint) == (ExitCode.REFUSED, "version 1 answers again")
    assert config.read(layout) == before
    assert labels(host) == {STABLE: 1, CANARY: None}
    assert (answer(host, "times", STABLE), answer(host, "other", STABLE)) == (2.0, 7.0)
    assert (layout.versions(), layout.withdrawn_versions()) == ([1, 2], [3])


def test_a_server_that_is_not_there_is_told_before_anything_is_published(
    layout: Layout, config: ConfigFile, ungated: PlanOf, bundle: Make
) -> None:
    gone = ConfigRollout(config, Production(Endpoint("127.0.0.1:1", Protocol.GRPC)))
    with pytest.raises(UnavailableError):
        deploy(ungated(bundle(9.0, 3), rollout=gone))
    assert (layout.versions(), layout.withdrawn_versions()) == ([1, 2], [])


def test_a_server_that_does_not_poll_the_file_is_noticed(
    layout: Layout, config: ConfigFile, serve: Callable[..., Host], ungated: PlanOf, bundle: Make
) -> None:
    host = serve()
    with pytest.raises(DeployError, match="production did not serve version 3"):
        deploy(ungated(bundle(9.0, 3), rollout=rollout(config, host, SHORT, by_request=False)))
    assert config.read(layout).versions == (1,)


def test_held_at_the_canary_it_is_promoted_and_rolled_back_by_label(
    layout: Layout, config: ConfigFile, serve: Callable[..., Host], ungated: PlanOf, bundle: Make
) -> None:
    host = serve()
    held = rollout(config, host, hold=True)
    deploy(ungated(bundle(9.0, 3), rollout=held))
    assert labels(host) == {STABLE: 1, CANARY: 3}
    with layout.alone():
        held.move(layout, held.way_forward(layout, None), "promote")
        assert labels(host) == {STABLE: 3, CANARY: 3}
        assert held.way_back(layout, None) == 1
        held.move(layout, 1, "rollback")
        assert labels(host) == {STABLE: 1, CANARY: 3}
        held.move(layout, held.way_forward(layout, 2), "promote")  # on disk, and not loaded until now
        assert labels(host) == {STABLE: 2, CANARY: 3}
    assert layout.versions() == [1, 2, 3]


def test_stable_does_not_move_to_a_version_that_answers_wrong(
    layout: Layout, config: ConfigFile, serve: Callable[..., Host]
) -> None:
    host = serve("wrong@2")
    with layout.alone(), pytest.raises(DeployError, match="stable did not move: ") as caught:
        rollout(config, host).move(layout, 2, "promote")
    assert caught.value.hint == "version 1 answers again"
    assert labels(host) == {STABLE: 1, CANARY: None}
    assert config.read(layout).versions == (1,)
    assert records.read(layout)[-1].outcome == "refused"


def test_a_new_model_is_added_and_taken_out_again(
    tmp_path: Path, config: ConfigFile, layout: Layout, serve: Callable[..., Host], ungated: PlanOf, bundle: Make
) -> None:
    from dataclasses import replace

    host = serve("wrong@8")
    new = Layout(layout.base, "new")
    with pytest.raises(DeployError, match="taken out again") as caught:
        deploy(replace(ungated(bundle(9.0, 8), rollout=rollout(config, host)), layout=new))
    assert caught.value.hint == "there is no version before it to go back to"
    assert '"new"' not in config.path.read_text()
    deploy(replace(ungated(bundle(9.0, 9), rollout=rollout(config, host)), layout=new))
    assert answer(host, "new", STABLE) == 9.0


@pytest.mark.parametrize("at", [CANARY, STABLE])
def test_the_next_deployment_goes_on_where_one_was_ended(
    layout: Layout,
    config: ConfigFile,
    serve: Callable[..., Host],
    ungated: PlanOf,
    bundle: Make,
    monkeypatch: pytest.MonkeyPatch,
    *,
    at: str,
) -> None:
    host, wait = serve(), ConfigRollout._wait_for_label

    def ended(self: ConfigRollout, place: Layout, label: str, version: int) -> None:
        if label == at and version == 3:
            raise GeneratorExit  # nothing catches it: as if it had been killed
        wait(self, place, label, version)

    monkeypatch.setattr(ConfigRollout, "_wait_for_label", ended)
    with pytest.raises(GeneratorExit):
        deploy(ungated(bundle(9.0, 3), rollout=rollout(config, host)))
    assert answer(host, "other", STABLE) == 7.0
    deploy(ungated(bundle(10.0, 4), rollout=rollout(config, host)))
    assert labels(host) == {STABLE: 4, CANARY: 4}
    assert answer(host, "times", STABLE) == 10.0


def test_interrupted_while_it_is_tried_a_canary_is_taken_out_again(
    layout: Layout,
    config: ConfigFile,
    serve: Callable[..., Host],
    ungated: PlanOf,
    bundle: Make,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host, before = serve(), config.read(layout)

    def interrupted(*given: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Production, "findings", interrupted)
    with pytest.raises(KeyboardInterrupt):
        deploy(ungated(bundle(9.0, 3), rollout=rollout(config, host)))
    assert config.read(layout) == before
    assert labels(host) == {STABLE: 1, CANARY: None}
    assert (layout.versions(), layout.withdrawn_versions()) == ([1, 2], [3])


def test_a_label_to_a_version_that_is_not_there_is_refused_and_put_back(
    layout: Layout, config: ConfigFile, serve: Callable[..., Host]
) -> None:
    host = serve("broken@2")
    before = config.path.read_text()
    moving = rollout(config, host)
    entry = config.read(layout)
    with pytest.raises(ServingError, match="not currently available for inference"):
        moving.apply(layout, entry.having(entry.versions, {STABLE: 2}))
    config.path.write_text(before)
    with layout.alone(), pytest.raises(DeployError, match="stable did not move: production cannot load version 2"):
        moving.move(layout, 2, "promote")
    assert labels(host) == {STABLE: 1, CANARY: None}
    assert config.read(layout) == entry


def test_what_cannot_be_moved_to_is_told(layout: Layout, config: ConfigFile, serve: Callable[..., Host]) -> None:
    moving = rollout(config, serve())
    with pytest.raises(UsageError, match="has no canary to promote"):
        moving.way_forward(layout, None)
    with pytest.raises(UsageError, match="has no version 9 to promote"):
        moving.way_forward(layout, 9)
    with pytest.raises(UsageError, match="no version to go back to"):
        moving.way_back(layout, None)
    with pytest.raises(UsageError, match="with number 9"):
        moving.way_back(layout, 9)
