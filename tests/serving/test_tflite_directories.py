"""A directory with a model.tflite answers as TensorFlow Serving's TfLiteSession: with its own two test models."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import Builder, flexbuffers  # type: ignore[import-untyped]

from tests.serving.running import request
from toolkit.core.tensors import TensorSpec
from toolkit.errors import Fault, ServingError, ToolkitError
from toolkit.serving.host import Host
from toolkit.serving.loading import Loader
from toolkit.serving.servables import Loading, load_servable
from toolkit.serving.settings import settings_of
from toolkit.serving.warmup import WARMUP_FILE
from toolkit.wire import protos
from toolkit.wire.signatures import PREDICT_METHOD

MODELS = Path(__file__).parents[1] / "golden" / "data" / "models"
PLAIN = MODELS / "saved_model_half_plus_two_tflite" / "00000123"
WITH_SIGNATURES = MODELS / "saved_model_half_plus_two_tflite_with_sigdef" / "00000123"
PREFERRED = Loading(prefer_tflite=True)


@pytest.mark.parametrize("model", [PLAIN, WITH_SIGNATURES])
def test_over_rest_it_answers_rows_and_columns(model: Path) -> None:
    flags = {"port": 0, "rest_api_port": 0, "model_name": "half", "prefer_tflite_model": True}
    with Host(settings_of(flags | {"model_base_path": str(model.parent)})) as host:
        port = host.ready().rest_api_port or 0
        rows = request(port, "POST", "/v1/models/half:predict", b'{"instances": [[1.0], [2.0], [5.0]]}')
        columns = request(port, "POST", "/v1/models/half:predict", b'{"inputs": {"x": [[1.0]]}}')
        wrong = request(port, "POST", "/v1/models/half:predict", b'{"inputs": {"tflite_input": [[1.0]]}}')
    assert json.loads(rows.body) == {"predictions": [[2.5], [3.0], [4.5]]}
    assert json.loads(columns.body) == {"outputs": [[2.5]]}
    assert wrong.status == 400


@pytest.mark.parametrize(("model", "tensor"), [(PLAIN, "x"), (WITH_SIGNATURES, "tflite_input")])
def test_its_metadata_holds_the_files_own_tensors_and_dims(model: Path, tensor: str) -> None:
    servable = load_servable(model, PREFERRED)
    (signature,) = servable.signatures.values()
    servable.close()
    assert (signature.name, signature.method) == ("serving_default", PREDICT_METHOD)
    assert {name: (info.name, info.shape) for name, info in signature.inputs.items()} == {"x": (tensor, (1, 1))}
    assert {name: (info.name, info.shape) for name, info in signature.outputs.items()} == {"y": ("y", (1, 1))}


def test_a_converters_table_of_signatures_counts_for_nothing(shipped: Callable[[str], Path], tmp_path: Path) -> None:
    shutil.copy(shipped("mlp") / "tflite" / "serving_default.tflite", tmp_path / "model.tflite")
    servable = load_servable(tmp_path, PREFERRED)
    signature = servable.signatures["serving_default"]
    assert signature.inputs["serving_default_image"].name == "serving_default_image:0"
    assert signature.as_signature().inputs == {"serving_default_image": TensorSpec("float32", (1, 28, 28))}
    feed = {"serving_default_image": np.zeros((2, 28, 28), np.float32)}
    assert servable.run("serving_default", feed)["StatefulPartitionedCall"].shape == (2, 10)
    servable.close()


def changed(source: Path, directory: Path, change: Callable[[Any], object]) -> Path:
    """The directory with a model.tflite whose objects were changed."""
    model = schema.ModelT.InitFromPackedBuf((source / "model.tflite").read_bytes(), 0)
    change(model)
    builder = Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    (directory / "model.tflite").write_bytes(bytes(builder.Output()))
    return directory


def with_metadata(signatures: Mapping[str, bytes]) -> Callable[[Any], object]:
    def change(model: Any) -> None:
        entry = next(entry for entry in model.metadata if entry.name == b"signature_defs_metadata")
        packed = flexbuffers.Dumps({name: text.decode("ascii") for name, text in signatures.items()})
        model.buffers[entry.buffer].data = np.frombuffer(bytes(packed), np.uint8)

    return change


def definition(inputs: str, outputs: str) -> bytes:
    proto = protos.SignatureDef(method_name=PREDICT_METHOD)
    proto.inputs["in"].name, proto.inputs["in"].dtype = inputs, 1
    proto.outputs["out"].name, proto.outputs["out"].dtype = outputs, 1
    return bytes(proto.SerializeToString())


def test_every_signature_of_the_metadata_answers_under_its_name(tmp_path: Path) -> None:
    metadata = {"a": definition("tflite_input", "y"), "b": definition("tflite_input:0", "y:0")}
    servable = load_servable(changed(WITH_SIGNATURES, tmp_path, with_metadata(metadata)), PREFERRED)
    assert list(servable.signatures) == ["a", "b"]
    for name in ("a", "b"):
        assert servable.run(name, {"in": np.array([[4.0]], np.float32)})["out"].tolist() == [[4.0]]
    assert servable.signatures["b"].proto.inputs["in"].name == "tflite_input"
    servable.close()


@pytest.mark.parametrize(
    ("metadata", "message", "fault"),
    [
        (
            {"a": definition("lost:0", "y")},
            "Unknown tensor 'lost:0'.\n\tSignature input in references an unknown tensor",
            Fault.INTERNAL,
        ),
        (
            {"a": definition("tflite_input", "lost")},
            "Unknown tensor 'lost'.\n\tSignature output out references an unknown tensor",
            Fault.INTERNAL,
        ),
        (
            {"a": b"cut off"},
            "Invalid SignatureDefs found in TfLite model: Cannot parse signature def found in flatbuffer.",
            Fault.INVALID,
        ),
    ],
)
def test_signatures_that_make_no_sense_fail_the_load(
    tmp_path: Path, metadata: Mapping[str, bytes], message: str, fault: Fault
) -> None:
    with pytest.raises(ServingError) as found:
        load_servable(changed(WITH_SIGNATURES, tmp_path, with_metadata(metadata)), PREFERRED)
    assert (found.value.message, found.value.fault) == (message, fault)


def test_metadata_without_a_signature_leaves_the_tensors_names(tmp_path: Path) -> None:
    servable = load_servable(changed(WITH_SIGNATURES, tmp_path, with_metadata({})), PREFERRED)
    assert list(servable.signatures["serving_default"].inputs) == ["tflite_input"]
    servable.close()


def test_of_tensors_called_alike_before_the_colon_the_last_one_counts(tmp_path: Path) -> None:
    def split(model: Any) -> None:
        graph = model.subgraphs[0]
        graph.tensors[graph.inputs[0]].name, graph.tensors[graph.outputs[0]].name = b"call:0", b"call:1"
        graph.outputs = [graph.inputs[0], graph.outputs[0]]

    servable = load_servable(changed(PLAIN, tmp_path, split), PREFERRED)
    signature = servable.signatures["serving_default"]
    assert {name: info.name for name, info in signature.outputs.items()} == {"call": "call:1"}
    assert servable.run("serving_default", {"call": np.array([[2.0]], np.float32)})["call"].tolist() == [[3.0]]
    servable.close()


def test_two_outputs_of_one_name_fail_the_load(tmp_path: Path) -> None:
    def double(model: Any) -> None:
        graph = model.subgraphs[0]
        graph.tensors[graph.inputs[0]].name = graph.tensors[graph.outputs[0]].name
        graph.outputs = [graph.inputs[0], graph.outputs[0]]

    with pytest.raises(ServingError, match=r"^Output tensor name: y has multiple indices$") as found:
        load_servable(changed(PLAIN, tmp_path, double), PREFERRED)
    assert found.value.fault is Fault.ALREADY_EXISTS


def test_an_op_that_is_not_known_fails_the_load_and_not_a_request(tmp_path: Path) -> None:
    def unknown(model: Any) -> None:
        code = model.operatorCodes[0]
        code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
        code.customCode = b"Nobody"

    with pytest.raises(ToolkitError, match=r"^Failed to allocate tensors$") as found:
        load_servable(changed(PLAIN, tmp_path, unknown), PREFERRED)
    assert (found.value.fault, "Nobody" in found.value.hint) == (Fault.INTERNAL, True)


def test_a_shape_that_the_model_does_not_take_is_told_in_tensorflow_servings_words(
    shipped: Callable[[str], Path], tmp_path: Path
) -> None:
    shutil.copy(shipped("mlp") / "tflite" / "serving_default.tflite", tmp_path / "model.tflite")
    servable = load_servable(tmp_path, PREFERRED)
    for _ in range(2):
        with pytest.raises(ToolkitError, match=r"^Failed to (allocate tensors|invoke TfLite interpreter)$") as found:
            servable.run("serving_default", {"serving_default_image": np.zeros((2, 5, 5), np.float32)})
        assert found.value.fault is Fault.INTERNAL
        feed = {"serving_default_image": np.zeros((1, 28, 28), np.float32)}
        assert servable.run("serving_default", feed)["StatefulPartitionedCall"].shape == (1, 10)
    servable.close()


def test_warm_up_requests_beside_a_model_tflite_are_replayed(tmp_path: Path) -> None:
    shutil.copytree(PLAIN, tmp_path / "1")
    (tmp_path / "1" / WARMUP_FILE).parent.mkdir()
    (tmp_path / "1" / WARMUP_FILE).write_bytes(b"garbage that is long enough")
    with pytest.raises(ServingError, match="corrupted record at 0"):
        Loader(PREFERRED)("m", 1, tmp_path / "1")
    Loader(PREFERRED, warm_up=False)("m", 1, tmp_path / "1").close()
