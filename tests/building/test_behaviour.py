"""What eager does of its own (state, randomness, NaN, rows that lean on their batch) says what artifacts are asked."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.building.small_models import (
    CENTRED,
    COUNTER,
    GENERATOR,
    LOGARITHM,
    NOISY,
    RAGGED,
    RECURRENT,
    SHARED_COUNTER,
    SPARSE,
)
from toolkit import ModelSpec
from toolkit.building.pipeline import Outcome
from toolkit.core.artifact import GOLDEN, Artifact
from toolkit.core.golden import Case, read_golden

Built = Callable[[ModelSpec], Outcome]


def artifact(outcome: Outcome, name: str) -> Artifact:
    found = outcome.manifest.artifact(name)
    assert found is not None
    return found


def cases(outcome: Outcome) -> list[Case]:
    assert outcome.bundle is not None, outcome.error
    return read_golden(outcome.bundle / GOLDEN, outcome.manifest.signatures)


@pytest.mark.parametrize(
    ("spec", "verdicts"),
    [
        (COUNTER, {"saved_model": "pass", "tflite": "pass", "onnx": "pass"}),
        (RECURRENT, {"saved_model": "pass", "tflite": "pass", "onnx": "pass"}),
        (GENERATOR, {"saved_model": "pass", "tflite": "skipped", "onnx": "skipped"}),
        (NOISY, {"saved_model": "pass", "tflite": "pass", "onnx": "pass"}),
        (CENTRED, {"saved_model": "pass", "tflite": "pass", "onnx": "pass"}),
        (LOGARITHM, {"saved_model": "pass", "tflite": "pass", "onnx": "pass"}),
        (RAGGED, {"saved_model": "pass", "tflite": "pass", "onnx": "pass"}),
        (SPARSE, {"saved_model": "pass", "tflite": "pass", "onnx": "pass"}),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_each_format_passes_or_says_that_it_cannot(spec: ModelSpec, verdicts: dict[str, str], built: Built) -> None:
    outcome = built(spec)
    found = {entry.name: (entry.parity.status, entry.parity.reason) for entry in outcome.manifest.artifacts}
    assert {name: status for name, (status, _) in found.items()} == verdicts, found
    assert outcome.error is None


@pytest.mark.parametrize("spec", [COUNTER, RECURRENT, GENERATOR], ids=lambda spec: spec.name)
def test_a_stateful_model_is_held_to_its_second_call_too(spec: ModelSpec, built: Built) -> None:
    outcome = built(spec)
    found = cases(outcome)
    assert outcome.manifest.behaviour["serving_default"].stateful
    assert "'serving_default' is stateful: a second call answers otherwise" in outcome.manifest.notes
    pairs = {case.name: case for case in found}
    assert any(f"{name}.again" in pairs for name in pairs)
    for check in artifact(outcome, "saved_model").parity.checks:
        assert check.passed
        assert list(check.outputs) == list(outcome.manifest.signatures["serving_default"].outputs)


def test_every_golden_case_of_a_stateful_model_starts_from_the_same_state(built: Built) -> None:
    calls = {case.name: float(case.outputs["calls"]) for case in cases(built(COUNTER))}
    assert calls == {name: 2.0 if name.endswith(".again") else 1.0 for name in calls}
    assert len(calls) == 6


def test_onnx_says_which_op_of_which_layer_would_lose_its_state(built: Built) -> None:
    reason = artifact(built(GENERATOR), "onnx").parity.reason
    assert reason.startswith("ONNX keeps no state, and RngReadAndSkip (layer stateful_normal")
    assert "serve the SavedModel" in reason


def test_tflite_does_not_tear_apart_the_state_that_signatures_share(built: Built) -> None:
    outcome = built(SHARED_COUNTER)
    entry = artifact(outcome, "tflite")
    assert entry.parity.status == "skipped"
    assert "'serving_default' changes state: AssignAddVariableOp" in entry.parity.reason
    assert artifact(outcome, "saved_model").parity.status == "pass"


def test_a_random_output_is_named_and_left_out_and_the_other_is_compared(built: Built) -> None:
    outcome = built(NOISY)
    assert outcome.manifest.behaviour["serving_default"].random == ("noise",)
    assert any(note.startswith("output 'noise' of 'serving_default' is random") for note in outcome.manifest.notes)
    for entry in outcome.manifest.artifacts:
        assert [list(check.outputs) for check in entry.parity.checks] == [["double"]] * len(entry.parity.checks)


def test_a_row_that_depends_on_its_batch_in_eager_is_not_asked_alone(built: Built) -> None:
    assert not built(CENTRED).manifest.behaviour["serving_default"].rows_independent
    assert built(LOGARITHM).manifest.behaviour["serving_default"].rows_independent


def test_nan_of_eagers_own_passes_and_is_said(built: Built) -> None:
    outcome = built(LOGARITHM)
    (note,) = outcome.manifest.notes
    assert "output 'log' of 'serving_default' holds" in note
    assert note.endswith("NaN or infinite values for the samples, in eager already")


@pytest.mark.parametrize(
    ("spec", "parts"),
    [(RAGGED, ["x_values", "x_row_splits"]), (SPARSE, ["x_indices", "x_values", "x_dense_shape"])],
    ids=lambda value: getattr(value, "name", ""),
)
def test_ragged_and_sparse_inputs_are_served_as_their_dense_parts(
    spec: ModelSpec, parts: list[str], built: Built
) -> None:
    outcome = built(spec)
    assert list(outcome.manifest.signatures["serving_default"].inputs) == parts
    for check in artifact(outcome, "saved_model").parity.checks:
        assert check.batch_sizes == (1, 7, 32)


def test_parts_of_a_ragged_tensor_are_no_batch_in_onnx(built: Built) -> None:
    import onnx

    outcome = built(RAGGED)
    assert outcome.bundle is not None
    graph: Any = onnx.load(outcome.bundle / "onnx" / "serving_default.onnx").graph
    names = {value.name: value.type.tensor_type.shape.dim[0].dim_param for value in (*graph.input, *graph.output)}
    assert names == {"x_values": "x_values_dim_0", "x_row_splits": "x_row_splits_dim_0", "output_0": "batch"}
