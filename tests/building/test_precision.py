"""What an output is judged by follows from the dtypes that it was computed in."""

from collections.abc import Callable
from typing import Any

import pytest
import tensorflow as tf

from toolkit import ModelSpec, TensorSpec
from toolkit.building.precision import coarse_tolerances
from toolkit.core.model import TracedModel
from toolkit.core.parity import DEFAULT_TOLERANCES, Tolerance

Trace = Callable[[ModelSpec], TracedModel]
HALF, SINGLE = DEFAULT_TOLERANCES["float16"], DEFAULT_TOLERANCES["float32"]


def through(*dtypes: str) -> Callable[[Any], Any]:
    def call(x: Any) -> Any:
        for dtype in dtypes:
            x = tf.cast(tf.tanh(x), dtype)
        return {"y": x, "beside": tf.shape(x)}

    return call


@pytest.mark.parametrize(
    ("given", "dtypes", "expected"),
    [
        ("float32", ("float32",), {}),
        ("float32", ("float16", "float32"), {"y": HALF}),
        ("float32", ("bfloat16", "float32"), {"y": HALF}),
        ("float64", ("float32", "float64"), {"y": SINGLE}),
        ("float64", ("float64",), {}),
        ("float16", ("float16",), {}),
        ("float32", ("float64", "float32"), {}),
    ],
)
def test_an_output_is_no_more_precise_than_what_it_came_through(
    trace: Trace, given: str, dtypes: tuple[str, ...], expected: dict[str, Tolerance]
) -> None:
    spec = ModelSpec("m", lambda: through(*dtypes), {"x": TensorSpec(given, (None, 2))})
    assert coarse_tolerances(trace(spec)) == expected


def test_a_function_that_is_called_counts_as_well(trace: Trace) -> None:
    inner = tf.function(through("float16", "float32"))
    spec = ModelSpec("m", lambda: lambda x: inner(x)["y"] + x, {"x": TensorSpec("float32", (None, 2))})
    assert coarse_tolerances(trace(spec)) == {"output_0": HALF}
