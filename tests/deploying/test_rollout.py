"""After publishing, in directory mode: production that is wrong, slow, dead or cannot load gets the old one back."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.deploying.conftest import QUICK, SHORT, endpoints, watched
from tests.deploying.server import POLL_S, SLOW_S
from toolkit.core.tensors import Outputs
from toolkit.deploying import records
from toolkit.deploying.deployment import Plan, deploy
from toolkit.deploying.layout import Layout
from toolkit.deploying.publish import publish
from toolkit.deploying.rollout import DirectoryRollout, Production
from toolkit.deploying.servers import free_ports
from toolkit.errors import DeployError, ExitCode, UnavailableError
from toolkit.runtimes.served import open_remote
from toolkit.serving.host import Host
from toolkit.verifying.bundle import check_files
from toolkit.wire.endpoints import Remote
from toolkit.wire.messages import Endpoint, Protocol, Target

Publish = Callable[[int], None]
Make = Callable[..., Path]
PlanOf = Callable[..., Plan]


def ask(endpoint: Endpoint, model: str = "times") -> Outputs:
    with open_remote(Remote(endpoint, Target(model))) as runner:
        return runner.run({"x": np.array([1.0], np.float32)})


def test_a_good_version_is_asked_in_production(
    layout: Layout, published: Publish, production: Callable[..., Host], ungated: PlanOf, bundle: Make
) -> None:
    published(1)
    host = production()
    done = deploy(ungated(bundle(9.0, 2), rollout=DirectoryRollout(watched(host))))
    assert [found.name for found in done.findings][-4:] == [
        "production",
        "answers over grpc (serving_default)",
        "answers over rest (serving_default)",
        "latency",
    ]
    assert ask(endpoints(host)[0])["y"] == 9.0
    assert [record.step for record in records.read(layout)] == ["publish", "publish", "rollout"]


def test_a_first_version_brings_a_waiting_server_up(
    layout: Layout, production: Callable[..., Host], ungated: PlanOf, bundle: Make
) -> None:
    host = production()
    deploy(ungated(bundle(), rollout=DirectoryRollout(watched(host))))
    assert ask(endpoints(host)[1])["y"] == 2.0


@pytest.mark.parametrize(
    ("fault", "limits", "said"),
    [
        ("wrong@2", QUICK, "answers over grpc"),
        ("broken@2", QUICK, "production cannot load version 2: an op is not known here"),
        ("hangs@2", SHORT, "production did not serve version 2 after 2 s"),
        ("late@2", replace(QUICK, max_p99_s=SLOW_S / 2), "latency: p50"),
    ],
)
def test_a_version_that_fails_in_production_is_taken_out_and_the_one_before_answers(
    layout: Layout,
    published: Publish,
    production: Callable[..., Host],
    ungated: PlanOf,
    bundle: Make,
    *,
    fault: str,
    limits: object,
    said: str,
) -> None:
    published(1)
    other = Layout(layout.base, "other")
    (other.base_path / "4").mkdir(parents=True)
    (other.base_path / "4" / "factor").write_text("7")
    host = production(fault, model_config_file=str(config_of(layout, other)))
    assert isinstance(limits, type(QUICK))
    with pytest.raises(DeployError, match=f"version 2 was taken out again: .*{said}") as caught:
        deploy(ungated(bundle(9.0, 2), rollout=DirectoryRollout(watched(host, limits))))
    assert caught.value.exit_code is ExitCode.REFUSED
    assert caught.value.hint == "version 1 answers again"
    assert (layout.versions(), layout.withdrawn_versions()) == ([1], [2])
    assert ask(endpoints(host)[0])["y"] == 2.0
    assert ask(endpoints(host)[0], "other")["y"] == 7.0
    assert host.library.states()["other"].states().keys() == {4}
    assert [record.step for record in records.read(layout)] == ["publish", "publish", "rollback"]


def config_of(*layouts: Layout) -> Path:
    text = "".join(
        f' config {{ name: "{one.name}" base_path: "{one.base_path}" model_platform: "tensorflow" }}' for one in layouts
    )
    path = layouts[0].base / "models.config"
    path.write_text(f"model_config_list {{{text} }}")
    return path


def test_a_first_version_that_fails_leaves_nothing_to_go_back_to(
    layout: Layout, production: Callable[..., Host], ungated: PlanOf, bundle: Make
) -> None:
    host = production("wrong")
    with pytest.raises(DeployError) as caught:
        deploy(ungated(bundle(), rollout=DirectoryRollout(watched(host))))
    assert caught.value.hint == "there is no version before it to go back to"
    assert layout.versions() == []


def test_a_version_before_that_does_not_answer_either_is_said(
    layout: Layout, published: Publish, production: Callable[..., Host], ungated: PlanOf, bundle: Make
) -> None:
    published(1)
    host = production("wrong")
    with pytest.raises(DeployError) as caught:
        deploy(ungated(bundle(9.0, 2), rollout=DirectoryRollout(watched(host))))
    assert caught.value.hint.startswith("version 1 does not answer either: ")


@pytest.fixture
def supervised(layout: Layout, root: Path, bundle: Make) -> Iterator[Callable[[str], Production]]:
    """Starts a server of two models in a process that is started again when it dies, as in any cluster."""
    other = Layout(layout.base, "other")
    with other.alone():
        publish(other, made := bundle(7.0), check_files(made), {})
    started: list[subprocess.Popen[bytes]] = []

    def start(fault: str) -> Production:
        ports = free_ports()
        flags = [f"--fault={fault}", f"--port={ports.grpc}", f"--rest_api_port={ports.rest}"]
        models = f"--model_config_file={config_of(layout, other)}"
        command = [sys.executable, str(Path(__file__).with_name("server.py")), "--supervised", *flags, models]
        environment = {**os.environ, "PYTHONPATH": str(root)}
        started.append(subprocess.Popen(command, env=environment, start_new_session=True))
        addresses = (f"127.0.0.1:{port}" for port in (ports.grpc, ports.rest))
        grpc, rest = (Endpoint(one, kind) for one, kind in zip(addresses, Protocol, strict=True))
        return Production(grpc, rest, replace(QUICK, load_timeout_s=6.0))

    yield start
    for process in started:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.parametrize("fault", ["dies@2", "dies-later@2"])
def test_production_that_dies_of_a_version_gets_the_one_before(
    layout: Layout,
    published: Publish,
    supervised: Callable[[str], Production],
    ungated: PlanOf,
    bundle: Make,
    fault: str,
) -> None:
    published(1)
    running = supervised(fault)
    running.wait_until_available(Target(layout.name, 1))
    with pytest.raises(DeployError, match="version 2 was taken out again") as caught:
        deploy(ungated(bundle(9.0, 2), rollout=DirectoryRollout(running)))
    assert caught.value.hint == "version 1 answers again"
    assert ask(running.grpc)["y"] == 2.0
    running.wait_until_available(Target("other", 1))
    assert ask(running.grpc, "other")["y"] == 7.0


NOBODY = Production(Endpoint("127.0.0.1:1", Protocol.GRPC), None, replace(QUICK, load_timeout_s=POLL_S))


def test_production_that_is_not_there_is_told_before_anything_is_made(
    layout: Layout, plan: PlanOf, bundle: Make
) -> None:
    with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:1 does not answer"):
        deploy(plan(bundle(), rollout=DirectoryRollout(NOBODY)))
    assert not layout.base.exists()


def test_production_that_stays_dead_is_said(
    layout: Layout, published: Publish, ungated: PlanOf, bundle: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(1)
    dead = NOBODY
    # It ended while the gate was at work.
    monkeypatch.setattr(DirectoryRollout, "check", lambda rollout, layout: None)
    with pytest.raises(DeployError, match="production did not serve version 2") as caught:
        deploy(ungated(bundle(9.0, 2), rollout=DirectoryRollout(dead)))
    assert caught.value.hint.startswith("version 1 does not answer either: production did not serve version 1")
    assert layout.versions() == [1]


def test_interrupted_while_it_is_watched_a_version_is_taken_out_again(
    layout: Layout,
    published: Publish,
    production: Callable[..., Host],
    ungated: PlanOf,
    bundle: Make,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    published(1)
    host, told = production(), list[str]()

    def interrupted(*given: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Production, "findings", interrupted)
    plan = replace(ungated(bundle(9.0, 2), rollout=DirectoryRollout(watched(host))), tell=told.append)
    with pytest.raises(KeyboardInterrupt):
        deploy(plan)
    assert told[-1] == "interrupted: version 2 was taken out again; version 1 answers again"
    assert (layout.versions(), layout.withdrawn_versions()) == ([1], [2])
