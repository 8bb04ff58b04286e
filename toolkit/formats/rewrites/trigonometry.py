"""Trigonometric and hyperbolic functions that TFLite lacks, by those that it has."""

import math
from collections.abc import Sequence
from typing import Any

from toolkit.formats.rewrites.error_functions import polynomial
from toolkit.formats.rewrites.replacing import replacing
from toolkit.formats.rewrites.retrace import Replacement, Step

# x^9 to x of the sine's series; below 1 its next term is less than float32 can tell.
_SINH = tuple(1.0 / math.factorial(power) for power in (9, 7, 5, 3, 1))


def _of_tensorflow() -> Any:
    import tensorflow as tf

    return tf


def _tan(step: Step) -> Sequence[Any]:
    tf = _of_tensorflow()
    return [tf.sin(step.inputs[0]) / tf.cos(step.inputs[0])]


def _sinh(step: Step) -> Sequence[Any]:
    tf, (x,) = _of_tensorflow(), step.inputs
    # The difference of two exponentials near 1 would have lost its digits.
    return [tf.where(tf.abs(x) < 1.0, x * polynomial(x * x, _SINH), 0.5 * (tf.exp(x) - tf.exp(-x)))]


def _cosh(step: Step) -> Sequence[Any]:
    tf, (x,) = _of_tensorflow(), step.inputs
    return [0.5 * (tf.exp(x) + tf.exp(-x))]


def _asinh(step: Step) -> Sequence[Any]:
    tf, (x,) = _of_tensorflow(), step.inputs
    return [tf.sign(x) * tf.math.log(tf.abs(x) + tf.sqrt(x * x + 1.0))]


def _acosh(step: Step) -> Sequence[Any]:
    tf, (x,) = _of_tensorflow(), step.inputs
    return [tf.math.log(x + tf.sqrt((x - 1.0) * (x + 1.0)))]


def _atanh(step: Step) -> Sequence[Any]:
    tf, (x,) = _of_tensorflow(), step.inputs
    return [0.5 * tf.math.log((1.0 + x) / (1.0 - x))]


def _atan(step: Step) -> Sequence[Any]:
    tf, (x,) = _of_tensorflow(), step.inputs
    return [tf.atan2(x, tf.ones_like(x))]


def _asin(step: Step) -> Sequence[Any]:
    tf, (x,) = _of_tensorflow(), step.inputs
    return [tf.atan2(x, tf.sqrt((1.0 - x) * (1.0 + x)))]


def _acos(step: Step) -> Sequence[Any]:
    tf, (x,) = _of_tensorflow(), step.inputs
    return [tf.atan2(tf.sqrt((1.0 - x) * (1.0 + x)), x)]


TABLE: dict[str, Replacement] = {
    "Tan": _tan,
    "Sinh": _sinh,
    "Cosh": _cosh,
    "Asinh": _asinh,
    "Acosh": _acosh,
    "Atanh": _atanh,
    "Atan": _atan,
    "Asin": _asin,
    "Acos": _acos,
}
REWRITE = replacing("trigonometry", ("tflite",), TABLE, "exponentials, logarithms and Atan2")
