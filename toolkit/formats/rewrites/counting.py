"""Buckets, counts and positions by comparing with every boundary, for formats that cannot search or count."""

from collections.abc import Sequence
from typing import Any

from toolkit.formats.rewrites.replacing import replacing
from toolkit.formats.rewrites.retrace import Replacement, Step


def _bucketize(step: Step) -> Sequence[Any]:
    import tensorflow as tf

    (values,) = step.inputs
    boundaries = step.attr("boundaries")
    if not boundaries:
        return [tf.zeros_like(values, tf.int32)]
    reached = tf.expand_dims(tf.cast(values, tf.float32), -1) >= tf.constant(boundaries, tf.float32)
    return [tf.reduce_sum(tf.cast(reached, tf.int32), -1)]


def _bound(*, upper: bool) -> Replacement:
    def replaced(step: Step) -> Sequence[Any]:
        import tensorflow as tf

        ordered, values = step.inputs
        values, ordered = tf.expand_dims(values, 2), tf.expand_dims(ordered, 1)
        before = values >= ordered if upper else values > ordered
        return [tf.reduce_sum(tf.cast(before, step.attr("out_type")), -1)]

    return replaced


def _bincount(step: Step) -> Sequence[Any] | None:
    import tensorflow as tf

    values, size, weights = step.inputs
    if values.shape.rank not in {1, 2}:
        return None
    binary = step.type == "DenseBincount" and step.attr("binary_output")
    dtype = step.op.outputs[0].dtype
    # A value that is no index of a bin is in none of them: one_hot leaves it out as well.
    places = tf.one_hot(tf.cast(values, tf.int32), tf.cast(tf.reshape(size, ()), tf.int32), dtype=tf.float32)
    if binary:
        return [tf.cast(tf.reduce_max(places, -2), dtype)]
    if weights.shape.num_elements() != 0:
        places *= tf.cast(weights, tf.float32)[..., None]
    # Sums of ones are exact in float32 up to 2^24, more than a row of any request holds.
    return [tf.cast(tf.reduce_sum(places, -2), dtype)]


def _in_top_k(step: Step) -> Sequence[Any]:
    import tensorflow as tf

    predictions, targets, k = step.inputs
    own = tf.gather(predictions, tf.cast(targets, tf.int32), batch_dims=1)[:, None]
    better = tf.reduce_sum(tf.cast(predictions > own, tf.int32), 1)
    return [tf.logical_and(better < tf.cast(k, tf.int32), tf.math.is_finite(own[:, 0]))]


TABLE: dict[str, Replacement] = {
    "Bucketize": _bucketize,
    "LowerBound": _bound(upper=False),
    "UpperBound": _bound(upper=True),
    "Bincount": _bincount,
    "DenseBincount": _bincount,
    "InTopKV2": _in_top_k,
}
REWRITE = replacing("counting", ("tflite", "onnx"), TABLE, "comparisons with every boundary or index")
