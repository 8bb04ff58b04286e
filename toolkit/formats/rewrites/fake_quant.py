"""Floats rounded to the steps of a quantization, which converters take for a command to themselves."""

from collections.abc import Sequence
from typing import Any

from toolkit.formats.rewrites.replacing import replacing
from toolkit.formats.rewrites.retrace import Replacement, Step


def _by_attributes(step: Step) -> Sequence[Any]:
    import tensorflow as tf

    return [_rounded(step, tf.constant(step.attr("min")), tf.constant(step.attr("max")))]


def _by_inputs(step: Step) -> Sequence[Any]:
    return [_rounded(step, step.inputs[1], step.inputs[2])]


def _rounded(step: Step, least: Any, most: Any) -> Any:
    """tensorflow/core/kernels/fake_quant_ops_functor.h: the range moved so that zero is one of its steps."""
    import tensorflow as tf

    lowest, highest = float(step.attr("narrow_range")), float(2 ** step.attr("num_bits") - 1)
    scale = (most - least) / (highest - lowest)
    # A range of zero has no steps; all that it can hold is zero.
    empty = tf.equal(most, least)
    scale = tf.where(empty, tf.ones_like(scale), scale)
    zero = tf.clip_by_value(tf.floor(lowest - least / scale + 0.5), lowest, highest)
    first, last = (lowest - zero) * scale, (highest - zero) * scale
    steps = tf.floor((tf.minimum(tf.maximum(step.inputs[0], first), last) - first) * (1.0 / scale) + 0.5)
    return tf.where(empty, tf.zeros_like(step.inputs[0]), (steps - (zero - lowest)) * scale)


TABLE: dict[str, Replacement] = {
    "FakeQuantWithMinMaxArgs": _by_attributes,
    "FakeQuantWithMinMaxVars": _by_inputs,
    "FakeQuantWithMinMaxVarsPerChannel": _by_inputs,
}
REWRITE = replacing("fake_quant", ("tflite", "onnx"), TABLE, "the arithmetic that it stands for")
