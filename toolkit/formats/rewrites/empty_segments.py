"""The extreme of a segment without rows: ONNX makes it infinite, TensorFlow the least or greatest number."""

from collections.abc import Sequence
from typing import Any

from toolkit.formats.rewrites.replacing import replacing
from toolkit.formats.rewrites.retrace import Replacement, Step


def _bounded(operation: str) -> Replacement:
    def replaced(step: Step) -> Sequence[Any] | None:
        import tensorflow as tf

        data, ids, count = step.inputs
        if ids.shape.rank != 1 or data.shape.rank is None:
            return None
        values = getattr(tf.math, f"unsorted_segment_{operation}")(data, ids, count)
        rows = tf.math.unsorted_segment_sum(tf.ones_like(ids, tf.float32), ids, count)
        empty = tf.reshape(rows, [-1] + [1] * (data.shape.rank - 1)) < 0.5
        limit = data.dtype.min if operation == "max" else data.dtype.max
        return [tf.where(empty, tf.constant(limit, data.dtype), values)]

    return replaced


TABLE: dict[str, Replacement] = {"UnsortedSegmentMax": _bounded("max"), "UnsortedSegmentMin": _bounded("min")}
REWRITE = replacing("empty_segments", ("onnx",), TABLE, "one whose empty segments are as TensorFlow's")
