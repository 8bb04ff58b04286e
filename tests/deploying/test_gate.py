"""The gate: a server that does not load, answers wrong, late or not at all, or needs too much publishes nothing."""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.deploying.bundles import make_words_bundle, unproven
from tests.deploying.conftest import QUICK, SHORT, StandIn
from tests.deploying.server import COLD_S, FAT_BYTES, SLOW_S
from toolkit.core.golden import Case
from toolkit.deploying import gate, records
from toolkit.deploying.deployment import Plan, deploy
from toolkit.deploying.gate import Limits, check_sizes
from toolkit.deploying.layout import Layout
from toolkit.deploying.proofs import Proof
from toolkit.errors import DeployError, ExitCode, ParityError, StoreError, UnavailableError
from toolkit.verifying.bundle import check_files

Make = Callable[..., Path]
PlanOf = Callable[..., Plan]


def test_a_good_bundle_is_published_with_what_the_gate_saw(layout: Layout, plan: PlanOf, bundle: Make) -> None:
    done = deploy(plan(bundle(version=7)))
    assert (done.version, done.path, layout.versions()) == (7, layout.base_path / "7", [7])
    assert [found.name for found in done.findings] == [
        "message size",
        "load",
        "first request",
        "answers over grpc (serving_default)",
        "answers over rest (serving_default)",
        "latency",
        "memory",
    ]
    record = records.read(layout)[-1]
    assert (record.step, record.version, record.outcome) == ("publish", 7, "done")
    assert {"first_ms", "p50_ms", "p99_ms", "memory_bytes", "sha256", "max_abs"} <= set(record.facts)


@pytest.mark.parametrize(
    ("fault", "limits", "said"),
    [
        ("broken", QUICK, "version 1 does not load: an op is not known here"),
        ("dies", QUICK, "the server ended before it served version 1"),
        ("hangs", SHORT, "version 1 was not AVAILABLE after 2 s"),
        ("dies-later", QUICK, "does not answer"),
        ("wrong", QUICK, "answers over grpc"),
        ("late", replace(QUICK, max_p99_s=SLOW_S / 2), "allowed 15 ms"),
        ("cold", QUICK, "first request: "),
        ("fat", replace(QUICK, max_memory_bytes=FAT_BYTES), "allowed 300 MB"),
    ],
)
def test_a_faulty_server_publishes_nothing(
    layout: Layout,
    plan: PlanOf,
    bundle: Make,
    monkeypatch: pytest.MonkeyPatch,
    *,
    fault: str,
    limits: Limits,
    said: str,
) -> None:
    if fault == "cold":
        monkeypatch.setattr(gate, "FIRST_REQUEST_FLOOR_S", COLD_S / 10)
    with pytest.raises(DeployError, match=said) as caught:
        deploy(plan(bundle(), fault, limits=limits))
    assert caught.value.exit_code is ExitCode.REFUSED
    assert layout.versions() == []
    record = records.read(layout)[-1]
    assert (record.step, record.outcome) == ("gate", "refused")
    assert said in record.finding


@pytest.mark.parametrize("protocol", ["grpc", "rest"])
def test_one_float_flipped_on_the_wire_publishes_nothing(
    layout: Layout, plan: PlanOf, bundle: Make, protocol: str
) -> None:
    proxied = replace(plan(bundle()), command=StandIn(script="proxy.py", words=(f"--flip={protocol}",)))
    with pytest.raises(DeployError, match=rf"answers over {protocol}.*batch1.*expected 6\.5") as caught:
        deploy(proxied)
    assert caught.value.exit_code is ExitCode.REFUSED
    assert layout.versions() == []


def test_any_bytes_come_over_both_protocols(layout: Layout, plan: PlanOf, tmp_path: Path) -> None:
    done = deploy(plan(make_words_bundle(tmp_path / "words")))
    answers = {found.name: found.text for found in done.findings if found.name.startswith("answers")}
    assert set(answers) == {"answers over grpc (serving_default)", "answers over rest (serving_default)"}
    assert not any("not asked" in text for text in answers.values())


def test_words_that_come_back_otherwise_publish_nothing(layout: Layout, plan: PlanOf, tmp_path: Path) -> None:
    with pytest.raises(DeployError, match="answers over grpc"):
        deploy(plan(make_words_bundle(tmp_path / "words"), "wrong"))
    assert layout.versions() == []


def test_a_proxy_that_flips_nothing_passes(layout: Layout, plan: PlanOf, bundle: Make) -> None:
    deploy(replace(plan(bundle()), command=StandIn(script="proxy.py", words=("--flip=nothing",))))
    assert layout.versions() == [1]


def test_answers_too_far_from_those_in_production_publish_nothing(layout: Layout, plan: PlanOf, bundle: Make) -> None:
    deploy(plan(bundle(2.0, 1)))
    with pytest.raises(DeployError, match=r"change against version 1 .*: largest 3\.25e\+00 'y' of batch1, allowed 3"):
        deploy(plan(bundle(3.0, 2), limits=replace(QUICK, max_change=3.0)))
    assert layout.versions() == [1]
    done = deploy(plan(bundle(3.0, 3), limits=replace(QUICK, max_change=3.5)))
    assert [found.name for found in done.findings][-2:] == [
        "change against version 1 (serving_default)",
        "latency against production",
    ]


@pytest.mark.parametrize(("max_change", "passes"), [(None, True), (1.0, False)])
def test_a_broken_version_in_production_stands_in_the_way_only_where_its_answers_count(
    layout: Layout, plan: PlanOf, bundle: Make, max_change: float | None, *, passes: bool
) -> None:
    (layout.base_path / "1").mkdir(parents=True)
    wanted = plan(bundle(version=2), limits=replace(QUICK, max_change=max_change))
    if passes:
        finding = deploy(wanted).findings[-1]
        assert finding.text.startswith("version 1, now in production, does not answer: ")
    else:
        with pytest.raises(DeployError, match="version 1, now in production, does not answer"):
            deploy(wanted)
    assert layout.versions() == ([1, 2] if passes else [1])


def test_a_flipped_bit_is_found_before_a_server_starts(layout: Layout, plan: PlanOf, bundle: Make) -> None:
    made = bundle()
    weights = made / "saved_model" / "variables" / "variables.data"
    content = bytearray(weights.read_bytes())
    content[100] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ParityError, match=r"variables\.data was changed") as caught:
        deploy(plan(made))
    assert caught.value.exit_code is ExitCode.WRONG_ARTIFACT
    assert not layout.base.exists()


def test_a_bit_that_flips_while_it_is_copied_is_found(
    layout: Layout, plan: PlanOf, bundle: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = shutil.copy2

    def flipping(source: str, target: str, **more: Any) -> str:
        Path(copied := copy(source, target, **more)).write_bytes(b"other")
        return copied

    monkeypatch.setattr(shutil.copytree, "__defaults__", (False, None, flipping, False, False))
    with pytest.raises(ParityError, match="not what was built"):
        deploy(plan(bundle()))
    assert layout.versions() == []


def test_a_bundle_without_a_proven_saved_model_is_refused(plan: PlanOf, bundle: Make, tmp_path: Path) -> None:
    with pytest.raises(DeployError, match="no proven SavedModel"):
        deploy(plan(unproven(bundle(), tmp_path / "unproven")))


def test_a_target_too_small_is_told_before_anything_is_made(
    layout: Layout, plan: PlanOf, bundle: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 10, 0))
    with pytest.raises(StoreError, match=r"0\.0 MB free") as caught:
        deploy(plan(bundle()))
    assert caught.value.exit_code is ExitCode.MISSING
    assert not layout.base.exists()


def test_a_base_path_that_is_a_file_is_told_before_anything_is_made(layout: Layout, plan: PlanOf, bundle: Make) -> None:
    layout.base.mkdir()
    layout.base_path.write_text("not a folder")
    with pytest.raises(StoreError, match="serving/times is a file"):
        deploy(plan(bundle()))
    assert [path.name for path in layout.base.iterdir()] == ["times"]


def test_a_server_that_cannot_be_started_is_missing_and_no_verdict(layout: Layout, plan: PlanOf, bundle: Make) -> None:
    class Gone(StandIn):
        def line(self, *given: object) -> list[str]:
            return [f"{os.sep}no{os.sep}such{os.sep}server"]

    with pytest.raises(UnavailableError, match="does not start"):
        deploy(replace(plan(bundle()), command=Gone()))


def test_messages_that_clients_would_not_take_are_refused(bundle: Make) -> None:
    made = bundle()
    proof = Proof.of(made, check_files(made))
    assert [found.passed for found in check_sizes(proof, QUICK)] == [True]
    (finding,) = check_sizes(proof, replace(QUICK, max_message_bytes=10))
    assert not finding.passed
    assert "--max-message-mb" in finding.text
    large = Case("serving_default", "large", {"x": np.zeros(2_000_000, np.float32)}, {"y": np.zeros(1, np.float32)})
    (finding,) = check_sizes(replace(proof, cases=[*proof.cases, large]), QUICK)
    assert finding.text.startswith("8.00 MB, the request of large; clients take 4.19 MB")


@pytest.mark.parametrize(
    ("before", "after", "gap"),
    [
        ([1.0, np.nan, np.inf], [1.5, np.nan, np.inf], 0.5),
        ([1.0], [np.nan], np.inf),
        ([np.inf], [-np.inf], np.inf),
        ([1.0], [1.0, 2.0], np.inf),
        ([1, 5], [4, 5], 3.0),
        ([b"a"], [b"a"], 0.0),
        ([b"a"], [b"b"], np.inf),
        ([True], [False], np.inf),
        ([1 + 1j], [1 + 4j], 3.0),
        ([], [], 0.0),
    ],
)
def test_how_far_two_answers_are_apart(before: list[object], after: list[object], gap: float) -> None:
    assert gate._gap(np.array(before), np.array(after)) == gap


def test_an_output_that_one_of_them_lacks_is_as_far_as_can_be() -> None:
    assert gate._gap(None, np.zeros(1)) == gate._gap(np.zeros(1), None) == np.inf
