"""A complex tensor as the pair of its parts, which formats without complex numbers can hold."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from toolkit.formats.rewrites.retrace import Replacement, Step

# Ops that move elements about without looking at them, and those that are linear: each part goes through by itself.
_PARTWISE = (
    *(
        "Identity",
        "Reshape",
        "Transpose",
        "StridedSlice",
        "Slice",
        "ConcatV2",
        "Pack",
        "Unpack",
        "ExpandDims",
        "Squeeze",
    ),
    *("GatherV2", "Tile", "Pad", "ReverseV2", "BroadcastTo", "Sum", "Mean", "AddV2", "Add", "Sub", "AddN", "Neg"),
    *("ZerosLike", "Split", "SplitV", "Fill", "EnsureShape", "StopGradient", "Select", "SelectV2"),
)


@dataclass(frozen=True)
class Complex:
    """A complex tensor in two."""

    real: Any
    imag: Any

    @property
    def shape(self) -> Any:
        """Of either part."""
        return self.real.shape

    def tensor(self) -> Any:
        """The tensor itself, for an op that takes no less."""
        import tensorflow as tf

        return tf.complex(self.real, self.imag)

    def times(self, other: "Complex") -> "Complex":
        """The product."""
        return Complex(self.real * other.real - self.imag * other.imag, self.real * other.imag + self.imag * other.real)


def held(value: Any) -> bool:
    """Whether a value of the new graph is a pair."""
    return isinstance(value, Complex)


def both(step: Step) -> tuple[Complex, ...] | None:
    """The inputs as pairs where one of them is one."""
    if not any(held(value) for value in step.inputs):
        return None
    return tuple(value if held(value) else Complex(value, 0.0 * value) for value in step.inputs)


def _partwise(step: Step) -> Sequence[Any] | None:
    if not any(held(value) for value in step.inputs):
        return None
    parts = []
    for part in ("real", "imag"):
        inputs = [getattr(value, part) if held(value) else value for value in step.inputs]
        parts.append(_real_copy(step, inputs))
    return [Complex(real, imag) for real, imag in zip(*parts, strict=True)]


def _real_copy(step: Step, inputs: Sequence[Any]) -> Sequence[Any]:
    import tensorflow as tf

    attributes = dict(step.op.node_def.attr)
    attributes.pop("_output_shapes", None)
    for name, value in attributes.items():
        if value.HasField("type") and value.type == tf.complex64.as_datatype_enum:
            attributes[name] = type(value)(type=tf.float32.as_datatype_enum)
    made = step.tracing.graph._create_op_internal(
        step.type, list(inputs), [tf.float32] * len(step.op.outputs), name=step.op.name, attrs=attributes
    )
    return list(made.outputs)


def _of_pair(function: Callable[[Complex], Any]) -> Replacement:
    def replaced(step: Step) -> Sequence[Any] | None:
        return [function(step.inputs[0])] if held(step.inputs[0]) else None

    return replaced


def _absolute(value: Complex) -> Any:
    import tensorflow as tf

    return tf.sqrt(tf.square(value.real) + tf.square(value.imag))


def _angle(value: Complex) -> Any:
    import tensorflow as tf

    return tf.atan2(value.imag, value.real)


def _exponential(value: Complex) -> Complex:
    import tensorflow as tf

    size = tf.exp(value.real)
    return Complex(size * tf.cos(value.imag), size * tf.sin(value.imag))


def _multiply(step: Step) -> Sequence[Any] | None:
    pairs = both(step)
    return None if pairs is None else [pairs[0].times(pairs[1])]


def _divide(step: Step) -> Sequence[Any] | None:
    pairs = both(step)
    if pairs is None:
        return None
    top, below = pairs
    size = below.real * below.real + below.imag * below.imag
    product = top.times(Complex(below.real, -below.imag))
    return [Complex(product.real / size, product.imag / size)]


def _cast(step: Step) -> Sequence[Any] | None:
    import tensorflow as tf

    (value,) = step.inputs
    if held(value):
        return [value if step.attr("DstT").is_complex else tf.cast(value.real, step.attr("DstT"))]
    if step.attr("DstT") != tf.complex64:
        return None
    real = tf.cast(value, tf.float32)
    return [Complex(real, tf.zeros_like(real))]


def _constant(step: Step) -> Sequence[Any] | None:
    import tensorflow as tf

    if step.attr("dtype") != tf.complex64:
        return None
    array = tf.make_ndarray(step.attr("value"))
    return [Complex(tf.constant(array.real), tf.constant(array.imag))]


def _composed(step: Step) -> Sequence[Any]:
    return [Complex(*step.inputs)]


COMPLEX: dict[str, Replacement] = {
    **dict.fromkeys(_PARTWISE, _partwise),
    "Complex": _composed,
    "Real": _of_pair(lambda value: value.real),
    "Imag": _of_pair(lambda value: value.imag),
    "Conj": _of_pair(lambda value: Complex(value.real, -value.imag)),
    "ComplexAbs": _of_pair(_absolute),
    "Angle": _of_pair(_angle),
    "Exp": _of_pair(_exponential),
    "Square": _of_pair(lambda value: value.times(value)),
    "Mul": _multiply,
    "RealDiv": _divide,
    "Cast": _cast,
    "Const": _constant,
}
