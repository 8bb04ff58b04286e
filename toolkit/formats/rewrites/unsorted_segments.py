"""ONNX: sums and extremes of segments as scattering that adds or compares.

tf2onnx's own fail where there are no rows at all or whole numbers, and make the extreme of an empty segment infinite.
"""

from collections.abc import Sequence
from typing import Any

from toolkit.formats.rewrites.replacing import replacing
from toolkit.formats.rewrites.retrace import Replacement, Step


def _scattered(operation: str) -> Replacement:
    def replaced(step: Step) -> Sequence[Any] | None:
        import tensorflow as tf

        data, ids, count = step.inputs
        if ids.shape.rank != 1 or data.shape.rank is None:
            return None
        count, ids = tf.cast(count, tf.int32), tf.cast(ids, tf.int32)
        # A row of a negative segment is left out: it goes to a place behind the last, which is cut off.
        places = tf.expand_dims(tf.where(ids < 0, count, ids), 1)
        shape = tf.concat([tf.reshape(count + 1, [1]), tf.shape(data)[1:]], 0)
        if operation == "sum":
            return [tf.scatter_nd(places, data, shape)[:count]]
        empty = data.dtype.min if operation == "max" else data.dtype.max
        whole = tf.fill(shape, tf.constant(empty, data.dtype))
        scatter = tf.tensor_scatter_nd_max if operation == "max" else tf.tensor_scatter_nd_min
        return [scatter(whole, places, data)[:count]]

    return replaced


TABLE: dict[str, Replacement] = {f"UnsortedSegment{name.title()}": _scattered(name) for name in ("sum", "max", "min")}
REWRITE = replacing("unsorted_segments", ("onnx",), TABLE, "scattering that adds or compares")
