"""TFLite: division of 64-bit integers, which it lacks, by estimates of the quotient that leave nothing over."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from toolkit.formats.rewrites.replacing import replacing
from toolkit.formats.rewrites.retrace import Replacement, Step
from toolkit.graphs.census import nodes_of

_DT_INT64 = 9
# A float32 tells 24 bits; the first estimate stays below, so that 2^63 is never reached.
_BELOW = 1.0 - 2.0**-20
_ROUNDS = 3


def _floor_div(step: Step) -> Sequence[Any] | None:
    import tensorflow as tf

    x, y = step.inputs
    return [_exact(x - tf.math.floormod(x, y), y)] if x.dtype == tf.int64 else None


def _truncate_div(step: Step) -> Sequence[Any] | None:
    import tensorflow as tf

    x, y = step.inputs
    if x.dtype != tf.int64:
        return None
    over = tf.math.floormod(x, y)
    # The remainder has the divisor's sign; towards zero it has that of what is divided.
    across = tf.logical_and(tf.not_equal(over, 0), tf.not_equal(x < 0, y < 0))
    return [_exact(x - tf.where(across, over - y, over), y)]


def _exact(multiple: Any, divisor: Any) -> Any:
    """The quotient of a multiple of the divisor: each round finds 20 further bits of it."""
    import tensorflow as tf

    scale = tf.cast(divisor, tf.float32)
    quotient = tf.cast(tf.cast(multiple, tf.float32) / scale * _BELOW, tf.int64)
    for _ in range(_ROUNDS):
        left = multiple - quotient * divisor
        quotient += tf.cast(tf.round(tf.cast(left, tf.float32) / scale), tf.int64)
    return quotient


def _wanted(graph_def: Any) -> bool:
    return any(node.op in TABLE and node.attr["T"].type == _DT_INT64 for _, node in nodes_of(graph_def))


TABLE: dict[str, Replacement] = {"FloorDiv": _floor_div, "TruncateDiv": _truncate_div}
REWRITE = replace(replacing("long_division", ("tflite",), TABLE, "estimates that leave nothing over"), wanted=_wanted)
