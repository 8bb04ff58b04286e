"""Large weights stay out of tf2onnx: each comes back as one initializer, or as a constant where a loop takes it."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import tensorflow as tf

from toolkit import ModelSpec, TensorSpec
from toolkit.building.load import build_model
from toolkit.building.trace import trace_model
from toolkit.core.model import TracedModel
from toolkit.formats import onnx as onnx_format
from toolkit.formats.rewrites import apart


class Tied(tf.Module):
    """Looks up rows of a table, and multiplies by the same table again; two variables of one name."""

    def __init__(self) -> None:
        super().__init__()
        self.table = tf.Variable(noise(50, 16), name="table")
        self.kernels = [tf.Variable(noise(16, 16), name="kernel") for _ in range(2)]
        self.head = tf.Variable(noise(4, 16), name="head")

    def __call__(self, x: Any) -> dict[str, Any]:
        """The words that fit best."""
        hidden = tf.nn.embedding_lookup(self.table, x) @ self.kernels[0] @ self.kernels[1]
        return {
            "y": tf.matmul(hidden, self.table, transpose_b=True),
            "z": tf.matmul(hidden, self.head, transpose_b=True),
        }


class Looping(tf.Module):
    """Multiplies by the same variable inside a loop and outside of it."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = tf.Variable(noise(16, 16), name="kernel")

    def __call__(self, x: Any) -> dict[str, Any]:
        """A few rounds of a recurrence."""
        _, x = tf.while_loop(lambda at, _: at < 3, lambda at, x: (at + 1, tf.tanh(x @ self.kernel)), (0, x))
        return {"y": x @ self.kernel}


def noise(*shape: int) -> Any:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.fixture
def everything_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "WHOLE_BYTES", 0)
    monkeypatch.setattr(apart, "LARGE_BYTES", 1)


@pytest.mark.usefixtures("everything_is_large")
def test_each_weight_comes_back_once_under_a_name_of_its_own(tmp_path: Path) -> None:
    traced = trace(Tied, TensorSpec("int32", (None, 5)))
    model = export(traced, tmp_path)
    assert [value.name for value in model.graph.input] == ["x"]
    # `head` is only ever multiplied transposed, so it is kept that way; `table` is also looked up as it is.
    shapes = {tuple(value.dims) for value in model.graph.initializer}
    assert {(50, 16), (16, 4)} <= shapes
    assert {"table", "kernel", "kernel_1"} <= {value.name for value in model.graph.initializer}
    agree(traced, tmp_path)


@pytest.mark.usefixtures("everything_is_large")
def test_a_weight_that_a_loop_takes_becomes_a_constant(tmp_path: Path) -> None:
    traced = trace(Looping, TensorSpec("float32", (None, 16)))
    export(traced, tmp_path)
    agree(traced, tmp_path)


def test_a_small_model_goes_through_whole() -> None:
    traced = trace(Tied, TensorSpec("int32", (None, 5)))
    assert apart.large_weights(traced.functions["serving_default"]) == {}


def trace(build: Any, spec: TensorSpec) -> TracedModel:
    model = ModelSpec(name="weights", build=build, inputs={"x": spec})
    return trace_model(model, build_model(model))


def export(traced: TracedModel, directory: Path) -> Any:
    onnx_format.export(traced, directory)
    onnx.checker.check_model(str(directory / "serving_default.onnx"), full_check=True)
    return onnx.load(str(directory / "serving_default.onnx"))


def agree(traced: TracedModel, directory: Path) -> None:
    feed = traced.samples["serving_default"](3, 0)
    expected = traced.eager["serving_default"](feed)
    session = onnxruntime.InferenceSession(str(directory / "serving_default.onnx"))
    actual = dict(zip(expected, session.run(list(expected), feed), strict=True))
    for name, array in expected.items():
        np.testing.assert_allclose(actual[name], array, rtol=1e-4, atol=1e-4)
