"""A model and its large weights come out as onnx itself would write them, in one file or two."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import tensorflow as tf
from onnx import TensorProto, helper

from toolkit.core.plugins import RUNTIMES, Opening
from toolkit.core.tensors import Signature, TensorSpec
from toolkit.formats.rewrites import onnx_file
from toolkit.formats.rewrites.onnx_file import LargeWeight, write_model
from toolkit.runtimes import onnx as onnx_runtime
from toolkit.runtimes.inprocess import onnx_outline

KERNEL = np.random.default_rng(0).normal(size=(300, 200)).astype(np.float32)
SIGNATURE = Signature({"x": TensorSpec("float32", (None, 200))}, {"y": TensorSpec("float32", (None, 300))})


def model() -> Any:
    """y = x KERNEL^T + bias, whose kernel is still to come."""
    nodes = [helper.make_node("MatMul", ["x", "kernel"], ["xk"]), helper.make_node("Add", ["xk", "bias"], ["y"])]
    sides = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", size])] for name, size in SIZES.items()]
    bias = onnx.numpy_helper.from_array(np.arange(300, dtype=np.float32), "bias")
    graph = helper.make_graph(nodes, "g", *sides, initializer=[bias])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


SIZES = {"x": 200, "y": 300}


@pytest.mark.parametrize("limit", [0, 10**9])
def test_what_is_written_in_parts_is_read_as_a_whole(tmp_path: Path, limit: int, monkeypatch: Any) -> None:
    monkeypatch.setattr(onnx_file, "EXTERNAL_BYTES", limit)
    path = tmp_path / "m.onnx"
    write_model(model(), [LargeWeight("kernel", tf.Variable(KERNEL), (1, 0))], path)
    assert (tmp_path / "m.onnx.data").exists() == (limit == 0)
    read = onnx.load(str(path))
    expected = model()
    expected.graph.initializer.append(onnx.numpy_helper.from_array(np.ascontiguousarray(KERNEL.T), "kernel"))
    found = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in read.graph.initializer}
    assert list(found) == ["bias", "kernel"]
    np.testing.assert_array_equal(found["kernel"], KERNEL.T)
    if limit:
        assert read == expected
    feed = {"x": np.ones((2, 200), np.float32)}
    with RUNTIMES.load("onnx").open(Opening(path, "serving_default", SIGNATURE)) as runner:
        np.testing.assert_allclose(runner.run(feed)["y"], feed["x"] @ KERNEL.T + np.arange(300), rtol=1e-4)


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_runtime, "LARGE_BYTES", 0)
    monkeypatch.setattr(onnx_outline, "_WEIGHT_BYTES", 4096)


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("plant", [None, "op", "shape", "cut", "garbage"])
def test_a_large_file_is_checked_without_its_weights(tmp_path: Path, plant: str | None) -> None:
    wanted, path = model(), tmp_path / "m.onnx"
    if plant == "op":
        wanted.graph.node[1].op_type = "NoSuchOp"
    order = (0, 1) if plant == "shape" else (1, 0)
    write_model(wanted, [LargeWeight("kernel", tf.Variable(KERNEL), order)], path)
    content = path.read_bytes()
    path.write_bytes({"cut": content[:-9], "garbage": b"\xff" * 5000}.get(plant or "", content))
    found = onnx_runtime.faults(Opening(path, "serving_default", SIGNATURE))
    says = {"op": "NoSuchOp", "shape": "Incompatible dimensions", "cut": "cut off", "garbage": "onnx.checker"}
    assert len(found) == (plant is not None)
    assert plant is None or says[plant] in found[0]
