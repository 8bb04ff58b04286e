"""Sparse tensors multiplied, summed, reshaped and added by plain ops on their indices and values."""

from collections.abc import Sequence
from typing import Any

from toolkit.formats.rewrites.replacing import replacing
from toolkit.formats.rewrites.retrace import Replacement, Step


def _matmul(step: Step) -> Sequence[Any]:
    import tensorflow as tf

    indices, values, shape, dense = step.inputs
    row, column = tf.unstack(tf.cast(indices, tf.int32), 2, 1)
    rows = tf.cast(shape[0], tf.int32)
    if step.attr("adjoint_a"):
        row, column, rows = column, row, tf.cast(shape[1], tf.int32)
    if step.attr("adjoint_b"):
        dense = tf.transpose(dense)
    products = tf.expand_dims(values, 1) * tf.gather(dense, column)
    return [tf.math.unsorted_segment_sum(products, row, rows)]


def _dense(indices: Any, values: Any, shape: Any) -> Any:
    import tensorflow as tf

    return tf.scatter_nd(tf.cast(indices, tf.int32), values, tf.cast(shape, tf.int32))


def _sum(step: Step) -> Sequence[Any] | None:
    import tensorflow as tf

    indices, values, shape, axes = step.inputs
    rank = indices.shape[-1]
    if rank is None or step.tracing.folder.value(axes) is None:
        return None
    whole = tf.reshape(_dense(indices, values, shape), tf.cast(shape, tf.int32))
    whole = tf.ensure_shape(whole, [None] * rank)
    chosen = [int(axis) for axis in step.tracing.folder.value(axes).ravel()] or list(range(rank))
    return [tf.reduce_sum(whole, chosen, keepdims=step.attr("keep_dims"))]


def _reshape(step: Step) -> Sequence[Any] | None:
    import tensorflow as tf

    indices, before, after = step.inputs
    rank, new_rank = before.shape[0], after.shape[0]
    if rank is None or new_rank is None:
        return None
    before, after = tf.cast(before, tf.int32), tf.cast(after, tf.int32)
    known = tf.reduce_prod(tf.where(after < 0, 1, after))
    after = tf.where(after < 0, tf.math.floordiv(tf.reduce_prod(before), known), after)
    flat = tf.reduce_sum(tf.cast(indices, tf.int32) * _weights(before, rank), 1)
    parts = []
    for stride, size in zip(tf.unstack(_weights(after, new_rank)), tf.unstack(after), strict=True):
        parts.append(tf.math.floormod(tf.math.floordiv(flat, stride), size))
    return [tf.cast(tf.stack(parts, 1), tf.int64), tf.cast(after, tf.int64)]


def _weights(shape: Any, rank: int) -> Any:
    """How far apart in the flattened tensor neighbours along each dimension are."""
    import tensorflow as tf

    sizes = tf.unstack(shape, rank)
    strides = [tf.ones_like(sizes[0])]
    for size in reversed(sizes[1:]):
        strides.insert(0, strides[0] * size)
    return tf.stack(strides)


def _fill(step: Step) -> Sequence[Any] | None:
    import tensorflow as tf

    indices, values, shape, default = step.inputs
    rank = indices.shape[-1]
    if rank is None:
        return None
    rows = tf.cast(shape[0], tf.int32)
    own = tf.cast(indices[:, 0], tf.int32)
    filled = tf.math.unsorted_segment_sum(tf.ones_like(own), own, rows)
    empty = tf.equal(filled, 0)
    missing = tf.cast(tf.reshape(tf.where(empty), [-1]), tf.int32)
    # A value moves down by the empty rows above it, an empty row's by what stands above that row.
    above = tf.cumsum(tf.cast(empty, tf.int32), exclusive=True)
    before = tf.cumsum(filled, exclusive=True)
    moved = tf.range(tf.size(own)) + tf.gather(above, own)
    inserted = tf.gather(before, missing) + tf.gather(above, missing)
    count = tf.size(own) + tf.size(missing)
    place = tf.expand_dims(tf.concat([moved, inserted], 0), 1)
    columns = tf.zeros_like(tf.expand_dims(missing, 1)) * tf.ones([1, rank - 1], tf.int32)
    added = tf.concat([tf.expand_dims(missing, 1), columns], 1)
    all_indices = tf.concat([tf.cast(indices, tf.int32), added], 0)
    ordered = tf.scatter_nd(place, tf.range(count), tf.reshape(count, [1]))
    all_values = tf.concat([values, tf.zeros_like(missing, values.dtype) + default], 0)
    return [tf.cast(tf.gather(all_indices, ordered), tf.int64), tf.gather(all_values, ordered), empty, None]


TABLE: dict[str, Replacement] = {
    "SparseTensorDenseMatMul": _matmul,
    "SparseReduceSum": _sum,
    "SparseReshape": _reshape,
    "SparseFillEmptyRows": _fill,
}
REWRITE = replacing("sparse", ("tflite", "onnx"), TABLE, "gathers, segments and scatters")
