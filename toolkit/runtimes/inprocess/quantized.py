"""Turns floats into the integers that stand for them in a file, and back, at the edge of a runtime."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from toolkit.core.quantized import Quantized
from toolkit.core.runner import FunctionRunner
from toolkit.core.tensors import Array, Feed, Outputs, Signature, TensorSpec


def quantized(array: Array, meant: Quantized) -> Array:
    """The nearest integers; halves go away from zero and what is out of range to its end, as the op QUANTIZE does."""
    steps = array / np.float32(meant.scale)
    rounded = np.trunc(steps + np.copysign(np.float32(0.5), steps)) + meant.zero_point
    limits = np.iinfo(meant.dtype)
    # NaN stands for no integer; it becomes the one for 0, which is the only choice that adds nothing.
    rounded = np.where(np.isnan(rounded), meant.zero_point, rounded)
    return np.clip(rounded, limits.min, limits.max).astype(meant.dtype)


def dequantized(array: Array, meant: Quantized) -> Array:
    """The floats that the integers stand for."""
    return np.float32(meant.scale) * (array.astype(np.float32) - np.float32(meant.zero_point))


def edges_of(details: Mapping[str, Any], wanted: Mapping[str, TensorSpec]) -> dict[str, Quantized]:
    """Those of LiteRT's tensor details that are integers with a scale where the signature wants float32."""
    found = {}
    for name, detail in details.items():
        scale, zero_point = detail["quantization"]
        if scale and name in wanted and wanted[name].dtype == "float32":
            found[name] = Quantized(np.dtype(detail["dtype"]).name, scale, zero_point)
    return {name: meant for name, meant in found.items() if meant.dtype != "float32"}


def with_float_edges(
    runner: FunctionRunner, inputs: Mapping[str, Quantized], outputs: Mapping[str, Quantized]
) -> FunctionRunner:
    """The runner over a signature of floats; itself where the file has no integers at its edges."""
    if not inputs and not outputs:
        return runner

    def run(feed: Feed) -> Outputs:
        found = runner.run({name: quantized(x, inputs[name]) if name in inputs else x for name, x in feed.items()})
        return {name: dequantized(y, outputs[name]) if name in outputs else y for name, y in found.items()}

    known = runner.signature
    signature = Signature(_floats(known.inputs, inputs), _floats(known.outputs, outputs), known.method)
    return replace(runner, signature=signature, function=run)


def _floats(side: Mapping[str, TensorSpec], edges: Mapping[str, Quantized]) -> dict[str, TensorSpec]:
    return {name: replace(spec, dtype="float32") if name in edges else spec for name, spec in side.items()}
