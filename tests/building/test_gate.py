"""A fault is planted into an artifact; the build says what is wrong, ends with its code, and publishes nothing."""

import errno
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.building import planted
from tests.building.small_models import DENSE, ROWS, dense
from toolkit import ModelSpec, Signature, verify
from toolkit.api import verified
from toolkit.building.catalog import Entry
from toolkit.building.isolate import Isolated
from toolkit.building.pipeline import Options, Outcome, build_bundle
from toolkit.core.artifact import Artifact, read_manifest
from toolkit.core.parity import Allowed
from toolkit.errors import ExitCode, ParityError, StoreError, UsageError

Build = Callable[..., Outcome]


@pytest.fixture(scope="module")
def plants(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The planted formats are installed."""
    folder = tmp_path_factory.mktemp("installed")
    planted.install(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield


@pytest.fixture
def build(plants: None, child: Isolated, tmp_path: Path) -> Build:
    """Builds a spec in formats."""

    def build_formats(*formats: str, spec: ModelSpec = DENSE, **options: Any) -> Outcome:
        chosen = Options(tmp_path / "exported", formats, **options)
        return build_bundle(Entry(spec.name, spec, "0" * 64), chosen, child, lambda _: None)

    return build_formats


def published(tmp_path: Path) -> list[str]:
    return sorted(str(path.relative_to(tmp_path / "exported")) for path in (tmp_path / "exported").glob("*/[!.]*"))


def artifact(outcome: Outcome, name: str) -> Artifact:
    found = outcome.manifest.artifact(name)
    assert found is not None
    return found


WORST = r"batch32: output 'y' at \[\d+, 1\]: expected -?[\d.]+, actual -?[\d.]+ \(atol 1e-05, rtol 0.0001\)"
SIGNATURE = r"signature 'serving_default' in"


@pytest.mark.parametrize(
    ("plant", "reason"),
    [
        ("naive", rf"{SIGNATURE} saved_model: .*(variable|resource)"),
        ("off-saved-model", rf"{SIGNATURE} \w+: {WORST}"),
        ("no-weights", rf"{SIGNATURE} tflite: VAR_HANDLE reads variables that the file does not hold"),
        ("off-tflite", rf"{SIGNATURE} tflite: {WORST}"),
        ("off-onnx", rf"{SIGNATURE} onnx: {WORST}"),
        ("leftover", rf"{SIGNATURE} onnx: onnx.checker: .*Name: head/Erfc OpType: Erfc$"),
        ("renamed", rf"{SIGNATURE} onnx: its outputs are named renamed, expected y"),
        ("unsteady", rf"{SIGNATURE} onnx: output 'y' changes between two runs of the same feed"),
        ("nan-onnx", rf"{SIGNATURE} onnx: batch1: output 'y' at \[0, 1\]: expected -?[\d.]+, actual nan"),
    ],
)  # fmt: skip
def test_a_planted_fault_is_named_and_nothing_is_published(
    plant: str, reason: str, build: Build, tmp_path: Path
) -> None:
    outcome = build("saved_model", plant)
    found = artifact(outcome, plant)
    assert found.parity.status == "fail"
    assert re.match(rf"dense as {plant}, {reason}", found.parity.reason), found.parity.reason
    assert artifact(outcome, "saved_model").parity.status == "pass"
    assert (outcome.exit_code, outcome.bundle, published(tmp_path)) == (ExitCode.WRONG_ARTIFACT, None, [])
    assert isinstance(outcome.error, ParityError)
    assert outcome.error.message == found.parity.reason
    assert "\n" not in outcome.error.message
    assert "--allow-diff" in outcome.error.hint


def test_only_the_graph_mode_loader_sees_a_naive_saved_model(build: Build) -> None:
    checks = {check.runtime: check for check in artifact(build("naive"), "naive").parity.checks}
    assert checks["restored"].passed
    assert not checks["saved_model"].passed
    (problem,) = checks["saved_model"].problems
    assert "Could not find variable" in problem


def test_what_passed_is_published_past_a_fault_only_on_request(build: Build, tmp_path: Path) -> None:
    outcome = build("saved_model", "off-onnx", keep_going=True)
    assert outcome.exit_code == ExitCode.WRONG_ARTIFACT
    assert published(tmp_path) == ["dense/1"]
    assert outcome.bundle is not None
    assert sorted(path.name for path in outcome.bundle.iterdir()) == ["golden.npz", "manifest.json", "saved_model"]
    entry = read_manifest(outcome.bundle).artifact("off-onnx")
    assert entry is not None
    assert (entry.parity.status, entry.path, entry.files) == ("fail", "", {})
    assert entry.parity.reason == artifact(outcome, "off-onnx").parity.reason


def small_feed(batch_size: int, seed: int) -> dict[str, Any]:
    return {"x": np.random.default_rng(seed).uniform(0.1, 1, (batch_size, 2)).astype("float32")}


SMALL = ModelSpec("small", build=dense, samples=small_feed)


def test_a_person_lets_a_difference_pass_and_the_bundle_says_who_and_why(build: Build) -> None:
    word = Allowed(0.01, "the weight is known to be off")
    outcome = build("off-onnx", spec=SMALL, allowed={"y": word})
    assert outcome.bundle is not None, outcome.error
    entry = read_manifest(outcome.bundle).artifact("off-onnx")
    assert entry is not None
    (check,) = entry.parity.checks
    assert 1e-3 < check.outputs["y"].max_abs <= 0.01
    assert check.outputs["y"].allowed == word
    again = verify(outcome.bundle)
    assert verified(again) is None
    assert again.artifacts[0].parity.checks[0].outputs["y"].allowed == word


@pytest.mark.parametrize(
    ("plant", "value"), [("off-onnx", 0.001), ("renamed", 9.0), ("unsteady", 9.0), ("nan-onnx", 9.0)]
)
def test_no_word_covers_more_than_it_says(plant: str, value: float, build: Build, tmp_path: Path) -> None:
    outcome = build(plant, spec=SMALL, allowed={"y": Allowed(value, "known")})
    assert (outcome.exit_code, published(tmp_path)) == (ExitCode.WRONG_ARTIFACT, [])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.1])
def test_a_difference_without_a_size_cannot_be_allowed(value: float, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="in 'y' cannot be allowed"):
        Options(tmp_path, allowed={"y": Allowed(value, "known")})


@pytest.mark.parametrize(
    ("plant", "reason"),
    [
        ("raises", "'dense' cannot be written as raises: a line"),
        ("empty", "the export of empty wrote no file"),
        ("gone", "the export of gone wrote no file"),
    ],
)
def test_an_export_that_fails_is_an_entry_and_the_others_are_published(
    plant: str, reason: str, build: Build, tmp_path: Path
) -> None:
    outcome = build(plant, "saved_model", "onnx")
    assert (outcome.exit_code, published(tmp_path)) == (ExitCode.CONVERTER, ["dense/1"])
    assert outcome.bundle is not None
    entries = {entry.name: entry.parity for entry in read_manifest(outcome.bundle).artifacts}
    assert {name: parity.status for name, parity in entries.items()} == {
        plant: "fail",
        "saved_model": "pass",
        "onnx": "pass",
    }
    assert entries[plant].reason.startswith(reason)


def doubled(model: Any, x: Any) -> Any:
    return model(x) * 2


@pytest.mark.parametrize("problem", [OSError(errno.ENOSPC, "No space left on device"), StoreError("full")])
def test_a_full_disk_is_no_formats_fault(
    problem: Exception, build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def export(*_: object) -> None:
        raise problem

    monkeypatch.setattr(planted, "RAISES", replace(planted.RAISES, export=export))
    with pytest.raises(StoreError):
        build("raises", "saved_model")
    assert published(tmp_path) == []


TWO = ModelSpec(
    "two",
    build=dense,
    signatures={name: Signature({"x": ROWS}, call=doubled) for name in ("serving_default", "other")},
)


@pytest.mark.parametrize(
    ("plant", "reason"),
    [
        ("half", r"two as half has no file for signature '\w+'"),
        ("misnamed", r"two as misnamed, signature 'other' in tflite: it answers to serving_default, not to 'other'"),
    ],
)
def test_an_artifact_that_does_not_answer_to_every_signature_is_wrong(
    plant: str, reason: str, build: Build, tmp_path: Path
) -> None:
    outcome = build(plant, spec=TWO)
    assert re.match(reason, artifact(outcome, plant).parity.reason)
    assert (outcome.exit_code, published(tmp_path)) == (ExitCode.WRONG_ARTIFACT, [])


def test_every_format_answers_to_every_signature_by_its_name(build: Build) -> None:
    outcome = build("saved_model", "onnx", "tflite", spec=TWO)
    assert {entry.name: list(entry.paths) for entry in outcome.manifest.artifacts if entry.parity.status == "pass"} == {
        name: ["serving_default", "other"] for name in ("saved_model", "onnx", "tflite")
    }
