"""TFLite: logic on the bits of whole numbers, of which it has the exclusive or and the right shift alone."""

from collections.abc import Callable, Sequence
from typing import Any

from toolkit.formats.rewrites.replacing import replacing
from toolkit.formats.rewrites.retrace import Replacement, Step

_NARROW = frozenset({"int8", "uint8", "int16", "uint16"})
_WIDTH = 32


def _and(x: Any, y: Any) -> Any:
    """A sum is the bits that differ, and twice those that both have; in halves of 16 bits none overflows."""
    import tensorflow as tf

    differing = tf.bitwise.bitwise_xor(x, y)
    upper, lower = zip(*(_halves(value) for value in (x, y, differing)), strict=True)
    return _joined(*(tf.bitwise.right_shift(a + b - c, 1) for a, b, c in (upper, lower)))


def _halves(value: Any) -> tuple[Any, Any]:
    """The upper 16 bits with the sign, and the lower without."""
    import tensorflow as tf

    upper = tf.bitwise.right_shift(value, 16)
    return upper, value - upper * 65536


def _joined(upper: Any, lower: Any) -> Any:
    return upper * 65536 + lower


def _or(x: Any, y: Any) -> Any:
    import tensorflow as tf

    return tf.bitwise.bitwise_xor(tf.bitwise.bitwise_xor(x, y), _and(x, y))


def _left(x: Any, by: Any) -> Any:
    """Times a power of two, from a table; what does not fit goes away at the top, as in a shift."""
    import numpy as np
    import tensorflow as tf

    powers = (1 << np.arange(_WIDTH, dtype=np.int64)).astype(np.int32)
    return x * tf.gather(powers, by)


def _not(x: Any) -> Any:
    return -1 - x


def _bits(function: Callable[..., Any]) -> Replacement:
    """On numbers of up to 32 bits; smaller ones are widened and cut again."""

    def replaced(step: Step) -> Sequence[Any] | None:
        import tensorflow as tf

        dtype = step.op.outputs[0].dtype
        if dtype.name in _NARROW:
            return [tf.cast(function(*(tf.cast(value, tf.int32) for value in step.inputs)), dtype)]
        return [function(*step.inputs)] if dtype == tf.int32 else None

    return replaced


TABLE: dict[str, Replacement] = {
    "BitwiseAnd": _bits(_and),
    "BitwiseOr": _bits(_or),
    "Invert": _bits(_not),
    "LeftShift": _bits(_left),
}
REWRITE = replacing("bits", ("tflite",), TABLE, "exclusive or, shifts and sums")
