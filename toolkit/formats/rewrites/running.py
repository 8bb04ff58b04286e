"""Running products and running log-sum-exps by doubling steps, for formats that have only running sums."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from toolkit.formats.rewrites.replacing import replacing
from toolkit.formats.rewrites.retrace import Replacement, Step


def _running(neutral: float, combine: Callable[[Any, Any], Any]) -> Replacement:
    """The running combination of an axis whose length and number are known, in log2(length) steps."""

    def replaced(step: Step) -> Sequence[Any] | None:
        import tensorflow as tf

        x = step.inputs[0]
        axis = step.tracing.folder.value(step.inputs[1])
        if axis is None or x.shape.rank is None or x.shape[int(axis)] is None:
            return None
        at, length = int(axis) % x.shape.rank, x.shape[int(axis)]
        # TFLite's arithmetic has no infinities, which is what the first element would be.
        if math.isinf(neutral) and step.attr("exclusive"):
            return None
        x = tf.reverse(x, [at]) if step.attr("reverse") else x
        if step.attr("exclusive"):
            x = _shifted(x, at, length, 1, neutral)
        distance = 1
        while distance < length:
            x = combine(x, _shifted(x, at, length, distance, neutral))
            distance *= 2
        return [tf.reverse(x, [at]) if step.attr("reverse") else x]

    return replaced


def _shifted(x: Any, axis: int, length: int, by: int, neutral: float) -> Any:
    import tensorflow as tf

    begin, size = [0] * x.shape.rank, [-1] * x.shape.rank
    size[axis] = length - by
    kept = tf.slice(x, begin, size)
    paddings = [[by if at == axis else 0, 0] for at in range(x.shape.rank)]
    return tf.pad(kept, paddings, constant_values=tf.constant(neutral, x.dtype))


def _multiply(left: Any, right: Any) -> Any:
    return left * right


def _log_add(left: Any, right: Any) -> Any:
    import tensorflow as tf

    high = tf.maximum(left, right)
    # The difference of two infinities would be no number.
    return high + tf.math.log(1.0 + tf.exp(tf.minimum(left, right) - tf.maximum(high, high.dtype.min)))


TABLE: dict[str, Replacement] = {
    "Cumprod": _running(1.0, _multiply),
    "CumulativeLogsumexp": _running(-math.inf, _log_add),
}
REWRITE = replacing("running", ("tflite", "onnx"), TABLE, "doubling steps")
