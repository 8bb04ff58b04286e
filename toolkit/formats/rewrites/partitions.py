"""Rows dealt out by number and put together again, by picking them; and how often each value is there.

TFLite has none of it; tf2onnx only where the numbers are a vector.
"""

from collections.abc import Sequence
from typing import Any

from toolkit.formats.rewrites.replacing import replacing
from toolkit.formats.rewrites.retrace import Replacement, Step


def _partition(step: Step) -> Sequence[Any] | None:
    """Each part is the rows whose number it is, in their order."""
    import tensorflow as tf

    data, numbers = step.inputs
    rank = numbers.shape.rank
    if rank is None or data.shape.rank is None:
        return None
    if rank != 1:  # the numbers of a whole block of dimensions, which become one
        data = tf.reshape(data, tf.concat([[-1], tf.shape(data)[rank:]], 0))
        numbers = tf.reshape(numbers, [-1])
    return [tf.gather(data, tf.where(tf.equal(numbers, part))[:, 0]) for part in range(step.attr("num_partitions"))]


def _stitch(step: Step) -> Sequence[Any] | None:
    """Where two rows have one number the later is taken, which is the one with the greater place."""
    import tensorflow as tf

    count = len(step.inputs) // 2
    numbers, data = step.inputs[:count], step.inputs[count:]
    if any(one.shape.rank is None or rows.shape.rank is None for one, rows in zip(numbers, data, strict=True)):
        return None
    flat = tf.concat([tf.reshape(one, [-1]) for one in numbers], 0)
    rows = [
        tf.reshape(part, tf.concat([[-1], tf.shape(part)[one.shape.rank :]], 0))
        for one, part in zip(numbers, data, strict=True)
    ]
    length = tf.reduce_max(tf.concat([flat, [-1]], 0)) + 1
    # tf2onnx has the greatest of each segment for floats alone, which count to 16 million exactly.
    places = tf.math.unsorted_segment_max(tf.range(tf.size(flat), dtype=tf.float32), flat, length)
    return [tf.gather(tf.concat(rows, 0), tf.cast(tf.maximum(places, 0.0), tf.int32))]


def _counted(step: Step) -> Sequence[Any]:
    import tensorflow as tf

    values, at = tf.unique(step.inputs[0], out_idx=step.attr("out_idx"))
    ones = tf.ones_like(at, tf.int32)
    counts = tf.math.unsorted_segment_sum(ones, tf.cast(at, tf.int32), tf.size(values))
    return [values, at, tf.cast(counts, step.attr("out_idx"))]


TABLE: dict[str, Replacement] = {
    "DynamicPartition": _partition,
    "DynamicStitch": _stitch,
    "ParallelDynamicStitch": _stitch,
    "UniqueWithCounts": _counted,
}
REWRITE = replacing("partitions", ("tflite", "onnx"), TABLE, "picking rows by their place")
