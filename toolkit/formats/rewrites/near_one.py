"""Functions made for precision near one or for zeros, which converters lack or take at their word."""

from collections.abc import Sequence
from typing import Any

from toolkit.formats.rewrites.error_functions import polynomial
from toolkit.formats.rewrites.replacing import replacing
from toolkit.formats.rewrites.retrace import Replacement, Step

# z^15 to z of the series of atanh: below a third its next term is less than float32 can tell.
_ATANH = tuple(1.0 / power for power in (15, 13, 11, 9, 7, 5, 3, 1))


def _log1p(step: Step) -> Sequence[Any]:
    return [log1p(step.inputs[0])]


def log1p(x: Any) -> Any:
    """log(1 + x); near zero as 2 atanh(x / (2 + x)), since 1 + x would have lost the digits of x."""
    import tensorflow as tf

    near = tf.clip_by_value(x, -0.5, 0.5)
    part = near / (2.0 + near)
    return tf.where(tf.abs(x) < 0.5, 2.0 * part * polynomial(part * part, _ATANH), tf.math.log(1.0 + x))


def _expm1(step: Step) -> Sequence[Any]:
    import tensorflow as tf

    (x,) = step.inputs
    return [tf.tanh(0.5 * x) * (tf.exp(x) + 1.0)]


def _unless_zero(which: int, function: Any) -> Replacement:
    """The function of both inputs; zero where one of them is, even if the other is infinite."""

    def replaced(step: Step) -> Sequence[Any]:
        import tensorflow as tf

        x, y = step.inputs
        zero = tf.equal(step.inputs[which], 0.0)
        safe = tf.where(zero, tf.constant(1.0, y.dtype), y)
        return [tf.where(zero, tf.constant(0.0, x.dtype), function(x, safe))]

    return replaced


def _mul_no_nan(step: Step) -> Sequence[Any]:
    import tensorflow as tf

    x, y = step.inputs
    # Zeros that a converter would make as 0 x were NaN where x is infinite.
    return [tf.where(tf.equal(y, 0.0), tf.constant(0.0, x.dtype), x) * y]


def _xlogy(x: Any, y: Any) -> Any:
    import tensorflow as tf

    return x * tf.math.log(y)


def _xlog1py(x: Any, y: Any) -> Any:
    return x * log1p(y)


TABLE: dict[str, Replacement] = {
    "Log1p": _log1p,
    "Expm1": _expm1,
    "Xlogy": _unless_zero(0, _xlogy),
    "Xlog1py": _unless_zero(0, _xlog1py),
    "Xdivy": _unless_zero(0, lambda x, y: x / y),
    "MulNoNan": _mul_no_nan,
}
REWRITE = replacing("near_one", ("tflite", "onnx"), TABLE, "plain logarithms and exponentials")
