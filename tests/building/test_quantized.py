"""Quantized artifacts of a small model, through the whole build: what passes, what fails, and what is left out."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from toolkit import ModelSpec, TensorSpec
from toolkit.building.catalog import resolve_object
from toolkit.building.pipeline import Options, Outcome, build_bundle, chosen_formats
from toolkit.core.artifact import Artifact
from toolkit.core.model import Predict
from toolkit.core.tensors import Feed
from toolkit.errors import ExitCode

if TYPE_CHECKING:
    from toolkit.building.isolate import Isolated

Build = Callable[..., Outcome]
INT8 = ("saved_model", "tflite", "tflite-int8", "onnx", "onnx-int8")


def weights() -> tuple[Any, Any]:
    rng = np.random.default_rng(7)
    return rng.normal(0, 0.3, (16, 64)).astype(np.float32), rng.normal(0, 0.3, (64, 4)).astype(np.float32)


def network() -> Any:
    import tensorflow as tf

    class Classifier(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = (tf.Variable(value) for value in weights())

        def __call__(self, x: Any) -> Any:
            return {"scores": tf.nn.relu(x @ self.first) @ self.second}

    return Classifier()


def rows(count: int, seed: int, scale: float = 1.0) -> Feed:
    return {"x": np.random.default_rng(seed).uniform(-scale, scale, (count, 16)).astype(np.float32)}


def samples(batch_size: int, seed: int) -> Feed:
    return rows(batch_size, 100 + seed)


def calibration() -> Iterator[Feed]:
    return (rows(1, seed) for seed in range(1000, 1120))


def evaluate(predict: Predict) -> float:
    """Agreement with the classes of the float model."""
    first, second = weights()
    feed = rows(200, 5)
    wanted = (np.maximum(feed["x"] @ first, 0) @ second).argmax(axis=1)
    return float((predict(feed)["scores"].argmax(axis=1) == wanted).mean())


MODEL = ModelSpec(
    name="classifier",
    build=network,
    inputs={"x": TensorSpec("float32", (None, 16))},
    samples=samples,
    calibration=calibration,
    evaluate=evaluate,
)


@pytest.fixture(scope="module")
def build(child: "Isolated", tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Builds a spec: `build(spec, formats, keep_going=...)`."""

    def made(spec: ModelSpec, formats: tuple[str, ...], **options: Any) -> Outcome:
        place = Options(tmp_path_factory.mktemp("exported"), formats=formats, **options)
        return build_bundle(resolve_object(spec), place, child, lambda _: None)

    return made


def artifact(outcome: Outcome, name: str) -> Artifact:
    found = outcome.manifest.artifact(name)
    assert found is not None
    return found


def test_only_what_keeps_the_precision_is_built_unasked() -> None:
    assert not [name for name in chosen_formats(()) if "-" in name]
    assert "tflite-int8" in chosen_formats(("tflite-int8",))


@pytest.fixture(scope="module")
def all_of_them(build: Build) -> Outcome:
    """Every variant beside the plain ones."""
    names = ("tflite-float16", "tflite-dynamic", "tflite-int16x8", "onnx-float16", "onnx-dynamic")
    return build(MODEL, (*INT8, *names), max_accuracy_drop=0.03)


def test_every_variant_is_judged_by_its_task(all_of_them: Outcome) -> None:
    assert all_of_them.error is None, all_of_them.error
    lossy = [found for found in all_of_them.manifest.artifacts if found.variant]
    assert len(lossy) == 7
    for found in lossy:
        assert found.parity.status == "pass", found.name
        assert found.quality is not None, found.name
        assert found.quality.baseline - found.quality.candidate <= 0.03 + 1e-9, found.name
        text = "; ".join(found.notes)
        assert "x the size of" in text
        assert "x as fast as" in text


def test_the_differences_that_were_found_are_what_verify_allows(
    all_of_them: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    from toolkit import verify

    assert all_of_them.bundle is not None
    found = verify(all_of_them.bundle)
    assert {artifact.parity.status for artifact in found.artifacts} == {"pass"}
    judged = artifact(all_of_them, "onnx-int8").parity.checks[0].outputs["scores"]
    assert judged.allowed is not None
    assert judged.max_abs <= judged.allowed.value < 1.0
    assert "accuracy" in judged.allowed.reason
    assert "SNR" in judged.allowed.reason


def test_a_narrow_calibration_fails_the_task_and_publishes_nothing(build: Build) -> None:
    narrow = replace(MODEL, calibration=lambda: (rows(1, seed, 0.02) for seed in range(1000, 1120)))
    outcome = build(narrow, INT8)
    assert outcome.exit_code is ExitCode.WRONG_ARTIFACT
    assert outcome.bundle is None
    for name in ("tflite-int8", "onnx-int8"):
        parity = artifact(outcome, name).parity
        assert parity.status == "fail", name
        assert "accuracy falls from 1.0000 to" in parity.reason
        assert "--max-accuracy-drop" in parity.reason
        notes = "; ".join(artifact(outcome, name).notes)
        assert "calibration covers -0.0" in notes
        assert "SNR" in notes
    assert build(narrow, INT8, max_accuracy_drop=1.0).error is None


def test_without_an_evaluation_the_noise_decides(build: Build) -> None:
    narrow = replace(MODEL, calibration=lambda: (rows(1, seed, 0.02) for seed in range(1000, 1120)), evaluate=None)
    outcome = build(narrow, ("tflite-int8",), keep_going=True)
    assert "signal-to-noise ratio of" in artifact(outcome, "tflite-int8").parity.reason
    assert build(replace(MODEL, evaluate=None), ("tflite-int8",)).error is None


def test_calibrating_with_what_is_evaluated_fails(build: Build) -> None:
    cheating = replace(MODEL, calibration=lambda: iter([rows(200, 5)]))
    outcome = build(cheating, ("tflite-int8",))
    assert "200 rows of its calibration are evaluated, too" in artifact(outcome, "tflite-int8").parity.reason


def test_a_poor_calibration_that_passes_is_warned_of(build: Build) -> None:
    few = replace(MODEL, calibration=lambda: (rows(1, seed) for seed in range(1000, 1020)))
    notes = artifact(build(few, ("tflite-int8",)), "tflite-int8").notes
    assert "calibration has 20 rows; 100 or more give steadier ranges" in notes


def test_without_calibration_data_the_variant_is_left_out(build: Build) -> None:
    outcome = build(replace(MODEL, calibration=None), ("saved_model", "tflite-int8", "tflite-float16"))
    parity = artifact(outcome, "tflite-int8").parity
    assert parity.status == "skipped"
    assert "calibration" in parity.reason
    assert artifact(outcome, "tflite-float16").parity.status == "pass"


def test_calibration_that_raises_is_told_with_its_place(build: Build) -> None:
    def broken() -> Iterator[Feed]:
        raise KeyError("no data")

    outcome = build(replace(MODEL, calibration=broken), ("saved_model", "tflite-int8"))
    parity = artifact(outcome, "tflite-int8").parity
    assert parity.status == "fail"
    assert "calibration of 'classifier' failed: KeyError" in parity.reason
    assert Path(__file__).name in parity.reason


def rounded_network() -> Any:
    """The classifier as training with FakeQuant leaves it: everything is rounded to the steps of 8 bits already."""
    import tensorflow as tf

    class Rounded(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = (tf.Variable(value) for value in weights())

        def __call__(self, x: Any) -> Any:
            rounded, narrow = tf.quantization.fake_quant_with_min_max_vars, {"narrow_range": True}
            hidden = tf.nn.relu(rounded(x, -1.0, 1.0) @ rounded(self.first, -1.5, 1.5, **narrow))
            return {"scores": rounded(rounded(hidden, 0.0, 4.0) @ rounded(self.second, -1.5, 1.5, **narrow), -6.0, 6.0)}

    return Rounded()


def test_what_was_trained_for_8_bits_keeps_its_ranges(build: Build) -> None:
    spec = replace(MODEL, name="rounded", build=rounded_network, evaluate=None)
    found = artifact(build(spec, ("saved_model", "tflite", "tflite-int8")), "tflite-int8")
    assert found.parity.status == "pass"
    assert not [note for note in found.notes if "FakeQuant" in note]
    (check,) = found.parity.checks
    scores = check.outputs["scores"]
    assert scores.argmax_agreement == 1.0
    assert scores.max_abs <= 1.01 * (6.0 - -6.0) / 255  # a step of the output's own, where a half rounds elsewhere


def test_what_the_runtime_cannot_run_in_16_bits_is_left_out(build: Build) -> None:
    import tensorflow as tf

    def far(x: Any) -> Any:
        return {"scores": tf.math.squared_difference(x @ weights()[0], 0.25, name="far")}

    spec = replace(MODEL, name="far", build=lambda: tf.function(far), evaluate=None)
    found = artifact(build(spec, ("saved_model", "tflite", "tflite-int16x8")), "tflite-int16x8")
    assert found.parity.status == "skipped"
    assert "SquaredDifference (layer far)" in found.parity.reason
