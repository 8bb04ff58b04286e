"""What a format lacks stays with TensorFlow beside the file; both together answer as the model does."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import tensorflow as tf

from tests.formats.rewrites import split_models as models
from tests.formats.rewrites.one_op import answers, differences
from toolkit import ModelSpec
from toolkit.building.load import build_model
from toolkit.building.trace import trace_model
from toolkit.core.model import TracedModel
from toolkit.core.plugins import FORMATS, RUNTIMES, Opening
from toolkit.core.split import Split, read_split
from toolkit.core.tensors import TensorSpec
from toolkit.errors import RunError, UnsupportedError
from toolkit.formats.rewrites import tables
from toolkit.formats.rewrites.kinds import Lacks
from toolkit.formats.rewrites.split import export_split

NAME = "serving_default"
KINDS = ("tflite", "onnx")


def traced(spec: ModelSpec) -> TracedModel:
    return trace_model(spec, build_model(spec))


def exported(spec: ModelSpec, kind: str, directory: Path) -> Split | None:
    """Holds the files against the model; gives how they are split."""
    model = traced(spec)
    _, pairs = answers(model, kind, directory)
    for expected, actual in pairs:
        texts = [name for name, array in expected.items() if array.dtype.kind == "O"]
        assert [actual[name].tolist() for name in texts] == [expected[name].tolist() for name in texts]
        numbers = {name: array for name, array in expected.items() if name not in texts}
        assert differences([(numbers, actual)], 1e-5) == []
    return read_split(directory / f"{NAME}.{kind}")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("spec", [models.FUNCTIONAL, models.SUBCLASSED, models.BY_HAND], ids=lambda spec: spec.name)
def test_a_model_is_cut_by_its_structure_whatever_its_layers_are_called(
    spec: ModelSpec, kind: str, tmp_path: Path
) -> None:
    split = exported(spec, kind, tmp_path)
    assert split is not None
    assert split.front is not None
    assert split.front.signature == "preprocess"
    assert set(split.front.ops) == {"LookupTableFindV2"}
    assert split.tail is None
    assert list(split.cut.values()) == [TensorSpec("int64", (None,))]
    assert list(split.back.inputs) == list(split.cut)


@pytest.mark.parametrize("kind", KINDS)
def test_labels_are_looked_up_behind_the_file_and_inputs_pass_it_by(kind: str, tmp_path: Path) -> None:
    split = exported(models.LABELLED, kind, tmp_path)
    assert split is not None
    assert split.front is not None
    assert set(split.front.ops) == {"StringToHashBucketFast", "StringUpper"}
    # A table of text behind whole numbers is one that ONNX can hold.
    assert (split.tail.ops if split.tail else {}) == ({"LookupTableFindV2": "None_Lookup"} if kind == "tflite" else {})
    assert {"x", "unused"} <= set(split.back.inputs)
    assert "text" not in split.back.inputs


def test_what_is_checked_before_the_file_is_still_checked(tmp_path: Path) -> None:
    model = traced(models.LABELLED)
    FORMATS.load("onnx").export(model, tmp_path)
    feed = model.samples[NAME](1, 0) | {"text": np.array([b"x" * 100], object)}
    opening = Opening(tmp_path / f"{NAME}.onnx", NAME, model.signatures[NAME])
    with RUNTIMES.load("onnx").open(opening) as runner, pytest.raises(RunError, match="too long"):
        runner.run(feed)


def test_weights_are_in_the_file_alone(tmp_path: Path) -> None:
    assert exported(models.BY_HAND, "onnx", tmp_path)
    held = tf.saved_model.load(str(tmp_path / "tensorflow")).signatures["preprocess"]
    assert held.variables == ()
    assert tf.train.list_variables(str(tmp_path / "tensorflow" / "variables" / "variables")) == [
        ("_CHECKPOINTABLE_OBJECT_GRAPH", [])
    ]


def test_the_parts_can_be_run_by_hand(tmp_path: Path) -> None:
    model = traced(models.FUNCTIONAL)
    FORMATS.load("onnx").export(model, tmp_path)
    preprocess = tf.saved_model.load(str(tmp_path / "tensorflow")).signatures["preprocess"]
    feed = model.samples[NAME](3, 0)
    numbers = {name: tensor.numpy() for name, tensor in preprocess(text=tf.constant(feed["text"])).items()}
    session = onnxruntime.InferenceSession(str(tmp_path / f"{NAME}.onnx"))
    assert [value.name for value in session.get_inputs()] == list(numbers)
    (expected,) = model.eager[NAME](feed).values()
    np.testing.assert_allclose(session.run(None, numbers)[0], expected, rtol=1e-5, atol=1e-6)


def test_calibration_data_reaches_the_file_through_the_front(tmp_path: Path) -> None:
    model = traced(models.FUNCTIONAL)
    model = replace(model, calibration=[{"text": np.array([b"gamma", b"alpha", b"nobody"], object)}])
    seen: list[TracedModel] = []

    def export(backs: TracedModel, _: Path) -> list[str]:
        seen.append(backs)
        return []

    export_split(model, tmp_path, Lacks("ONNX"), export)
    (feed,) = seen[0].calibration
    assert {name: array.tolist() for name, array in feed.items()} == {"string_lookup": [3, 1, 0]}


@pytest.mark.parametrize("kind", KINDS)
def test_a_loop_goes_where_the_parser_in_it_must_go(kind: str, tmp_path: Path) -> None:
    split = exported(models.PICTURES, kind, tmp_path)
    assert split is not None
    assert split.front is not None
    assert split.front.ops == {"DecodePng": "map"}
    assert list(split.cut.values()) == [TensorSpec("uint8", (None, 4, 4, 3))]


@pytest.mark.parametrize("kind", KINDS)
def test_a_small_table_of_whole_numbers_needs_no_tensorflow(kind: str, tmp_path: Path) -> None:
    assert exported(models.NUMBERED, kind, tmp_path) is None
    assert not (tmp_path / "tensorflow").exists()


def test_a_large_one_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MOST_KEYS", 2)
    split = exported(models.NUMBERED, "onnx", tmp_path)
    assert split is not None
    assert split.front is not None
    assert set(split.front.ops) == {"LookupTableFindV2"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (models.UPPER, r"no StringUpper \(layer StringUpper\) .*, and apart from them nothing is left to compute"),
        (models.SPELLED, r"no AsString \(layer AsString\), .*, and MatMul \(layer matmul\) computes what they need"),
        (models.LEARNING, r"no LookupTable\w+ \(layer .*, and LookupTableInsertV2 \(layer .*\) keeps state"),
    ],
    ids=["upper", "spelled", "learning"],
)
def test_what_cannot_be_split_says_op_and_layer_in_one_line(
    spec: ModelSpec, said: str, kind: str, tmp_path: Path
) -> None:
    with pytest.raises(UnsupportedError, match=said) as found:
        FORMATS.load(kind).export(traced(spec), tmp_path)
    assert "\n" not in found.value.message
    assert "serve the SavedModel" in found.value.hint
    assert list(tmp_path.iterdir()) == []


class Sums(tf.Module):
    """A sine before the weights, or behind them."""

    def __init__(self, *, late: bool) -> None:
        super().__init__()
        self.weights, self.late = tf.Variable(models.noise(3, 2)), late

    def __call__(self, x: Any) -> Any:
        return {"y": tf.sin(x @ self.weights) if self.late else tf.sin(x) @ self.weights}


def refusing(model: TracedModel, directory: Path) -> list[str]:
    """An export whose converter has no sine."""
    graph_def = model.functions[NAME].graph.as_graph_def(add_shapes=True)
    nodes = [node.op for function in graph_def.library.function for node in function.node_def]
    if "Sin" in [*nodes, *(node.op for node in graph_def.node)]:
        raise UnsupportedError("there is no Sin", hint="serve the SavedModel", ops={"Sin"})
    return list(FORMATS.load("onnx").export(model, directory) or ())


def test_what_a_converter_turns_out_to_lack_before_the_weights_is_left_to_tensorflow(tmp_path: Path) -> None:
    model = traced(models.spec("early", lambda: Sums(late=False), x=models.ROW))
    note, *_ = export_split(model, tmp_path, Lacks("ONNX"), refusing)
    assert note.startswith("'serving_default' is split: TensorFlow runs Sin (layer Sin) in 'preprocess'")
    feed = model.samples[NAME](2, 0)
    with RUNTIMES.load("onnx").open(Opening(tmp_path / f"{NAME}.onnx", NAME, model.signatures[NAME])) as runner:
        np.testing.assert_allclose(runner.run(feed)["y"], model.eager[NAME](feed)["y"], rtol=1e-5, atol=1e-6)


def test_behind_the_weights_it_is_not(tmp_path: Path) -> None:
    model = traced(models.spec("late", lambda: Sums(late=True), x=models.ROW))
    with pytest.raises(UnsupportedError, match=r"^there is no Sin$"):
        export_split(model, tmp_path, Lacks("ONNX"), refusing)
