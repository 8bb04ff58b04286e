"""Ragged tensors made dense, counted up and gathered by plain ops: TFLite has no others, tf2onnx's divide by zero."""

from collections.abc import Sequence
from typing import Any

from toolkit.formats.rewrites.replacing import replacing
from toolkit.formats.rewrites.retrace import Replacement, Step


def rows_of(splits: Any, count: Any) -> Any:
    """The row of each of `count` values: how many rows have ended before it."""
    import tensorflow as tf

    ends = tf.cast(splits[1:], tf.int32)
    places = tf.range(tf.cast(count, tf.int32))
    ended = tf.expand_dims(places, 1) >= tf.expand_dims(ends, 0)
    return tf.reduce_sum(tf.cast(ended, tf.int32), 1)


def within(splits: Any, rows: Any) -> Any:
    """The place of each value in its row."""
    import tensorflow as tf

    return tf.range(tf.size(rows)) - tf.gather(tf.cast(splits, tf.int32), rows)


def _count(tensor: Any) -> Any:
    import tensorflow as tf

    return tf.shape(tensor)[0]


def _to_tensor(step: Step) -> Sequence[Any] | None:
    import tensorflow as tf

    shape, values, default = step.inputs[:3]
    found = _indices(step)
    if found is None or values.shape.rank is None:
        return None
    index, natural = found
    depth = len(natural)
    wanted = tf.cast(tf.reshape(shape, [-1]), tf.int32)
    if shape.shape.rank == 0:
        limits = tf.stack(natural)
    else:
        limits = tf.where(wanted[:depth] < 0, tf.stack(natural), wanted[:depth])
    # What does not fit is cut off: it goes to a row that is cut off as well.
    fits = tf.reduce_all(tf.stack(index, 1) < limits, 1)
    place = tf.where(tf.expand_dims(fits, 1), tf.stack(index, 1), tf.expand_dims(limits, 0) * _first(depth))
    inner = tf.shape(values)[1:]
    larger = tf.concat([limits + _first(depth), inner], 0)
    filled = tf.scatter_nd(place, values, larger)
    known = tf.scatter_nd(place, tf.ones_like(place[:, 0], tf.float32), limits + _first(depth))
    filled, known = filled[: limits[0]], known[: limits[0]]
    known = tf.reshape(known, tf.concat([tf.shape(known), tf.ones_like(inner)], 0))
    return [tf.where(known > 0.0, filled, tf.cast(default, values.dtype))]


def _first(depth: int) -> Any:
    import tensorflow as tf

    return tf.constant([1] + [0] * (depth - 1))


def _indices(step: Step) -> tuple[list[Any], list[Any]] | None:
    """The index of each value in the dense tensor, a vector for each dimension, and the size of each dimension."""
    import tensorflow as tf

    kinds = [kind.decode() for kind in step.attr("row_partition_types")]
    partitions, values = list(step.inputs[3:]), step.inputs[1]
    if kinds[0] == "FIRST_DIM_SIZE":
        rows_of_first = tf.cast(partitions.pop(0), tf.int32)
        kinds.pop(0)
        if kinds != ["VALUE_ROWIDS"]:
            return None
        rows = tf.cast(partitions[0], tf.int32)
        starts = tf.math.unsorted_segment_sum(tf.ones_like(rows), rows, rows_of_first)
        column = within(tf.concat([[0], tf.cumsum(starts)], 0), rows)
        return [rows, column], [rows_of_first, _longest(starts)]
    if any(kind != "ROW_SPLITS" for kind in kinds):
        return None
    count = _count(values)
    index: list[Any] = []
    sizes: list[Any] = []
    # From the innermost rows outwards: each level says of the one below it in which row its rows are.
    own: Any = None
    for splits in reversed(partitions):
        rows = rows_of(splits, count)
        column = within(splits, rows)
        index = [rows, column] if own is None else [tf.gather(rows, own), tf.gather(column, own), *index[1:]]
        own = index[0]
        sizes.insert(0, _longest(splits[1:] - splits[:-1]))
        count = tf.size(splits) - 1
    return index, [tf.reshape(tf.cast(count, tf.int32), ()), *sizes]


def _longest(lengths: Any) -> Any:
    import tensorflow as tf

    return tf.reduce_max(tf.concat([tf.cast(lengths, tf.int32), [0]], 0))


def _range(step: Step) -> Sequence[Any] | None:
    import tensorflow as tf

    starts, limits, deltas = step.inputs
    if not starts.dtype.is_integer:
        return None
    rows = tf.maximum(_count(tf.reshape(starts, [-1])), _count(tf.reshape(limits, [-1])))
    starts, limits, deltas = (
        tf.zeros([rows], tf.int32) + tf.cast(value, tf.int32) for value in (starts, limits, deltas)
    )
    # Rounded up: the negative of what the negative is rounded down to.
    lengths = tf.maximum(-tf.math.floordiv(starts - limits, deltas), 0)
    splits = tf.concat([[0], tf.cumsum(lengths)], 0)
    own = rows_of(splits, splits[-1])
    values = tf.gather(starts, own) + tf.gather(deltas, own) * within(splits, own)
    return [tf.cast(splits, step.attr("Tsplits")), tf.cast(values, step.attr("T"))]


def _gather(step: Step) -> Sequence[Any] | None:
    import tensorflow as tf

    if step.attr("PARAMS_RAGGED_RANK") != 1 or step.inputs[2].shape.rank != 1:
        return None
    splits, values, indices = step.inputs
    starts = tf.cast(tf.gather(splits[:-1], indices), tf.int32)
    lengths = tf.cast(tf.gather(splits[1:] - splits[:-1], indices), tf.int32)
    made = tf.concat([[0], tf.cumsum(lengths)], 0)
    own = rows_of(made, made[-1])
    return [tf.cast(made, splits.dtype), tf.gather(values, tf.gather(starts, own) + within(made, own))]


TABLE: dict[str, Replacement] = {"RaggedTensorToTensor": _to_tensor, "RaggedRange": _range, "RaggedGather": _gather}
REWRITE = replacing("ragged", ("tflite", "onnx"), TABLE, "gathers and scatters")
