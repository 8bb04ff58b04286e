"""The Euclidean norm, which no format has as one op."""

from collections.abc import Sequence
from typing import Any

from toolkit.formats.rewrites.replacing import replacing
from toolkit.formats.rewrites.retrace import Replacement, Step


def _norm(step: Step) -> Sequence[Any]:
    import tensorflow as tf

    x, axes = step.inputs
    return [tf.sqrt(tf.reduce_sum(x * x, axes, keepdims=step.attr("keep_dims")))]


TABLE: dict[str, Replacement] = {"EuclideanNorm": _norm}
REWRITE = replacing("norms", ("tflite", "onnx"), TABLE, "the root of a sum of squares")
