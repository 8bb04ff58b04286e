"""The error function, its complement and its inverse, which TFLite lacks, as polynomials."""

from collections.abc import Sequence
from typing import Any

from toolkit.formats.rewrites.replacing import replacing
from toolkit.formats.rewrites.retrace import Replacement, Step

# Eigen's rational approximation, which TensorFlow computes on a CPU (Eigen/src/SpecialFunctions): x p(x^2) / q(x^2).
_ERF_RANGE = 4.0
_ERF_P = (
    *(-2.72614225801306e-10, 2.77068142495902e-08, -2.10102402082508e-06, -5.69250639462346e-05),
    *(-7.34990630326855e-04, -2.95459980854025e-03, -1.60960333262415e-02),
)
_ERF_Q = (
    -1.45660718464996e-05,
    -2.13374055278905e-04,
    -1.68282697438203e-03,
    -7.37332916720468e-03,
    -1.42647390514189e-02,
)
# M. Giles, "Approximating the erfinv function" (GPU Computing Gems, 2010): one polynomial near 0 and one for the tails.
_INVERSE_CENTRE = (
    *(2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087),
    *(-0.00125372503, -0.00417768164, 0.246640727, 1.50140941),
)
_INVERSE_TAIL = (
    *(-0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773),
    *(-0.0076224613, 0.00943887047, 1.00167406, 2.83297682),
)
# What an exact GELU scales its input by: it multiplies by the one or divides by the other.
_GELU = (2.0**-0.5, 2.0**0.5)


def polynomial(x: Any, coefficients: Sequence[float]) -> Any:
    """Horner's scheme, the highest power first."""
    value = x * coefficients[0] + coefficients[1]
    for coefficient in coefficients[2:]:
        value = value * x + coefficient
    return value


def erf(x: Any) -> Any:
    """The error function, to a few units in the last place of float32."""
    import tensorflow as tf

    x = tf.clip_by_value(x, -_ERF_RANGE, _ERF_RANGE)
    square = x * x
    return x * polynomial(square, _ERF_P) / polynomial(square, _ERF_Q)


def erfinv(x: Any) -> Any:
    """The inverse of the error function; infinite at -1 and 1, NaN beyond."""
    import tensorflow as tf

    spread = -tf.math.log((1.0 - x) * (1.0 + x))
    centre = polynomial(spread - 2.5, _INVERSE_CENTRE)
    tail = polynomial(tf.sqrt(tf.maximum(spread, 5.0)) - 3.0, _INVERSE_TAIL)
    # The polynomial of an infinity is none, and its sign would be chance.
    value = tf.where(spread < 5.0, centre, tf.where(tf.equal(tf.abs(x), 1.0), float("inf"), tail)) * x
    return tf.where(tf.abs(x) <= 1.0, value, float("nan"))


def in_gelu(step: Step) -> bool:
    """Whether this is the middle of an exact GELU, which TFLite has as one op and finds by itself."""
    before = step.op.inputs[0].op
    if before.type not in {"Mul", "RealDiv", "Neg"}:
        return False
    import tensorflow as tf

    for tensor in before.inputs:
        source = tensor.op if tensor.op.type != "Identity" else tensor.op.inputs[0].op
        value = tf.get_static_value(source.outputs[0]) if source.type == "Const" else None
        if value is not None and value.size == 1 and any(abs(abs(value.item()) - scale) < 1e-3 for scale in _GELU):
            return True
    return False


def _erf(step: Step) -> Sequence[Any] | None:
    return None if in_gelu(step) else [erf(step.inputs[0])]


def _erfc(step: Step) -> Sequence[Any] | None:
    return None if in_gelu(step) else [1.0 - erf(step.inputs[0])]


TABLE: dict[str, Replacement] = {"Erf": _erf, "Erfc": _erfc}
REWRITE = replacing("error_functions", ("tflite",), TABLE, "the polynomials that TensorFlow computes it by")
