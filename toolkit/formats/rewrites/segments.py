"""Sums, means and extremes by segment, by those of unsorted segments, which every format has."""

from collections.abc import Sequence
from typing import Any

from toolkit.formats.rewrites.replacing import replacing
from toolkit.formats.rewrites.retrace import Replacement, Step


def _sorted(operation: str) -> Replacement:
    def replaced(step: Step) -> Sequence[Any]:
        import tensorflow as tf

        data, ids = step.inputs
        count = _count(ids)
        if operation == "mean":
            return [_mean(data, ids, count, 1.0)]
        values = getattr(tf.math, f"unsorted_segment_{operation}")(data, ids, count)
        # A gap between segments is zeros for a sorted maximum, and ones for a product.
        empty = {"max": 0, "min": 0}.get(operation)
        return [values if empty is None else _filled(values, data, ids, count, empty)]

    return replaced


def _count(ids: Any) -> Any:
    """How many segments there are: none where there are no rows."""
    import tensorflow as tf

    return tf.reduce_max(tf.concat([ids, tf.constant([-1], ids.dtype)], 0)) + 1


def _mean(data: Any, ids: Any, count: Any, power: float) -> Any:
    """The sum of each segment over its size to a power."""
    import tensorflow as tf

    total = tf.math.unsorted_segment_sum(data, ids, count)
    size = tf.maximum(_sizes(data, ids, count), 1.0)
    return total / tf.cast(size if power == 1.0 else tf.sqrt(size), data.dtype)


def _sizes(data: Any, ids: Any, count: Any) -> Any:
    """How many rows each segment has, to be broadcast against the segments."""
    import tensorflow as tf

    rows = tf.math.unsorted_segment_sum(tf.ones_like(ids, tf.float32), ids, count)
    return tf.reshape(rows, [-1] + [1] * (data.shape.rank - 1))


def _filled(values: Any, data: Any, ids: Any, count: Any, value: Any) -> Any:
    import tensorflow as tf

    return tf.where(_sizes(data, ids, count) > 0.0, values, tf.cast(value, values.dtype))


def _sparse(power: float | None) -> Replacement:
    """Rows of a table by their numbers, and then by segment; power is None for plain sums."""

    def replaced(step: Step) -> Sequence[Any]:
        import tensorflow as tf

        data, at, ids = step.inputs[:3]
        count = step.inputs[3] if len(step.inputs) > 3 else _count(ids)
        rows = tf.gather(data, at)
        if power is None:
            return [tf.math.unsorted_segment_sum(rows, ids, count)]
        return [_mean(rows, ids, count, power)]

    return replaced


TABLE: dict[str, Replacement] = {
    **{f"Segment{name.title()}": _sorted(name) for name in ("sum", "max", "min", "prod", "mean")},
    **{f"SparseSegment{name}": _sparse(power) for name, power in (("Sum", None), ("Mean", 1.0), ("SqrtN", 0.5))},
    **{
        f"SparseSegment{name}WithNumSegments": _sparse(power)
        for name, power in (("Sum", None), ("Mean", 1.0), ("SqrtN", 0.5))
    },
}
REWRITE = replacing("segments", ("tflite", "onnx"), TABLE, "unsorted segments")
