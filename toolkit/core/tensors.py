"""Names, dtypes and shapes of what goes into and comes out of a model; checks a feed, and samples one."""

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from toolkit.errors import CatalogError, FeedError

Array = npt.NDArray[Any]
Feed = Mapping[str, Array]
Outputs = Mapping[str, Array]
Shape = tuple[int | None, ...] | None

# TensorFlow's names (tensorflow/core/framework/types.proto) and how NumPy holds each; strings are bytes objects.
NUMPY_DTYPES: Mapping[str, np.dtype[Any]] = MappingProxyType(
    {
        name: np.dtype(name)
        for name in (
            *("float64", "float32", "float16", "int64", "int32", "int16", "int8"),
            *("uint64", "uint32", "uint16", "uint8", "bool", "complex64", "complex128"),
        )
    }
    | {"bfloat16": np.dtype(ml_dtypes.bfloat16), "string": np.dtype(object)}
)
FLOATS = frozenset({"float64", "float32", "float16", "bfloat16"})
# By kind of the wanted dtype, which kinds of number it can take; V is how NumPy sees bfloat16.
_KINDS = {"b": "b", "i": "biuf", "u": "biuf", "f": "biufV", "V": "biufV", "c": "biufVc"}
METHODS = ("predict", "classify", "regress")


def dtype_name(dtype: object) -> str:
    """TensorFlow's name of a dtype given as a name, a NumPy dtype or a tf.DType."""
    name = getattr(dtype, "name", None) or str(dtype)
    if isinstance(name, str) and name in NUMPY_DTYPES:
        return name
    try:
        # NumPy reads None as float64, which nobody means. Any dtype-like is a user's to give.
        kind = None if dtype is None else np.dtype(dtype)  # type: ignore[call-overload]
    except (TypeError, ValueError):
        kind = None
    found = "" if kind is None else "string" if kind.kind in "OSU" else kind.name
    if found not in NUMPY_DTYPES:
        raise CatalogError(f"'{name}' is no dtype of a tensor", hint=f"use one of {', '.join(sorted(NUMPY_DTYPES))}")
    return found


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """dtype (TensorFlow's name) and shape of one tensor; None is an open dimension, a shape of None an open rank."""

    dtype: str
    shape: Shape = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "dtype", dtype_name(self.dtype))
        if self.shape is not None:
            object.__setattr__(self, "shape", _dims(self.shape))

    @property
    def numpy_dtype(self) -> np.dtype[Any]:
        """How NumPy holds it."""
        return NUMPY_DTYPES[self.dtype]

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether an array of this shape may stand here."""
        if self.shape is None:
            return True
        return len(shape) == len(self.shape) and all(
            want is None or want == have for want, have in zip(self.shape, shape, strict=True)
        )

    @property
    def batched(self) -> bool:
        """Whether the first dimension is open, by which rows are counted."""
        return bool(self.shape) and self.shape is not None and self.shape[0] is None

    def __str__(self) -> str:
        dims = "?" if self.shape is None else ", ".join("*" if dim is None else str(dim) for dim in self.shape)
        return f"{self.dtype}[{dims}]"


def _dims(shape: Any) -> tuple[int | None, ...]:
    try:
        dims = [-1 if dim is None else operator.index(dim) for dim in shape]
    except TypeError:
        dims = [-2]
    if min(dims, default=0) < -1:
        raise CatalogError(
            f"{shape!r:.80} is no shape of a tensor", hint="use a tuple of sizes, None where open, as in (None, 28, 28)"
        )
    return tuple(None if dim == -1 else dim for dim in dims)


@dataclass(frozen=True)
class Signature:
    """A named way to call a model: inputs, outputs, TensorFlow Serving's method, and for a declared one what to call.

    Args:
        inputs: name to TensorSpec; declared, also tf.TensorSpec, tf.RaggedTensorSpec or tf.SparseTensorSpec.
        outputs: name to TensorSpec; empty until the model was traced.
        method: predict, classify or regress.
        call: a method's name, or a callable of the built object and the named tensors; None calls the object itself.
    """

    inputs: Mapping[str, Any]
    outputs: Mapping[str, TensorSpec] = field(default_factory=dict)
    method: str = "predict"
    call: str | Callable[..., Any] | None = None

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise CatalogError(f"'{self.method}' is no method of a signature", hint=f"use one of {', '.join(METHODS)}")


def composite_parts(names: Iterable[str]) -> frozenset[str]:
    """Those names that stand for a part of a ragged or sparse tensor: NAME_values with NAME_row_splits and the like.

    Their first dimensions count values and splits, not the rows of a batch.
    """
    known = set(names)
    found: set[str] = set()
    for stem in (name.removesuffix("_values") for name in known if name.endswith("_values")):
        splits = {name for name in known if re.fullmatch(rf"{re.escape(stem)}_row_splits(_\d+)?", name)}
        sparse = {f"{stem}_indices", f"{stem}_dense_shape"}
        if splits or sparse <= known:
            found |= {f"{stem}_values", *splits, *(sparse & known)}
    return frozenset(found)


def as_array(value: object, dtype: str) -> Array:
    """The value as an array of the named dtype; strings as an object array of bytes.

    Raises:
        FeedError: the value holds something that this dtype cannot: half a number in integers, text or None in numbers.
    """
    if dtype == "string":
        return _as_strings(value)
    target = NUMPY_DTYPES[dtype]
    try:
        given = _numbers(value)
        if given.dtype == target:
            return given
        fitting = not given.size or given.dtype.kind in _KINDS[target.kind]
        with np.errstate(all="ignore"):  # what a cast loses is found out below
            array = given.astype(target) if fitting else given
    except (TypeError, ValueError, OverflowError) as error:
        raise FeedError(f"no tensor of {dtype}: {error}", hint="check nesting and values") from error
    lost = _lost(given, array) if fitting else np.ones(given.shape, dtype=bool)
    if lost.any():
        raise FeedError(
            f"a tensor of {dtype} cannot hold {given[lost].tolist()[0]!r:.40}",
            hint=f"give values that {dtype} has, or declare another dtype",
        )
    return array


def _numbers(value: object) -> Array:
    given = np.asarray(value)
    if given.dtype.kind == "O" and all(isinstance(item, int) for item in given.ravel().tolist()):
        # Whole numbers beyond 64 bits, which NumPy leaves as objects; floats have them.
        return given.astype(np.float64)
    return given


def _as_strings(value: object) -> Array:
    array = np.asarray(value, dtype=object)
    result = np.empty(array.size, dtype=object)
    for at, item in enumerate(array.ravel().tolist()):
        if not isinstance(item, str | bytes):
            raise FeedError(
                f"a string tensor cannot hold {type(item).__name__} {item!r:.40}",
                hint="give text or bytes, nested evenly",
            )
        try:
            result[at] = item.encode() if isinstance(item, str) else item
        except UnicodeEncodeError as error:
            raise FeedError(f"{item!r:.40} has no UTF-8 form", hint="give bytes for what is not text") from error
    return result.reshape(array.shape)


def _lost(given: Array, array: Array) -> npt.NDArray[np.bool_]:
    """Where a cast did not keep the value; the rounding of a float is no loss."""
    if array.dtype.kind in "iu":
        return np.asarray(array != given)
    return np.asarray(np.isinf(array) & np.isfinite(given))


def check_feed(signature: Signature, feed: Mapping[str, object]) -> dict[str, Array]:
    """The feed as arrays that fit the signature's names, dtypes and shapes.

    Python numbers and lists take the wanted dtype; an array of another dtype is an error, since a silent cast
    would answer another question.

    Raises:
        FeedError: a name, dtype or shape does not fit.
    """
    missing = [repr(name) for name in signature.inputs if name not in feed]
    extra = [repr(name) for name in feed if name not in signature.inputs]
    if missing or extra:
        wanted = ", ".join(f"{name}: {spec}" for name, spec in signature.inputs.items())
        found = [f"missing input {', '.join(missing)}"] if missing else []
        found += [f"unknown input {', '.join(extra)}"] if extra else []
        raise FeedError("; ".join(found), hint=f"the signature wants {wanted}")
    return {name: _check_tensor(name, spec, feed[name]) for name, spec in signature.inputs.items()}


def _check_tensor(name: str, spec: TensorSpec, given: object) -> Array:
    if hasattr(given, "__array__") and not isinstance(given, np.generic):
        given = np.asarray(given)
        # Any way in which NumPy holds text will do; as_array looks into it.
        held_as_text = spec.dtype == "string" and given.dtype.kind in "OSU"
        if given.dtype.newbyteorder("=") != spec.numpy_dtype and not held_as_text:
            raise FeedError(
                f"input '{name}' is {given.dtype.name}, the signature wants {spec}",
                hint=f"convert it to {spec.dtype} first",
            )
    try:
        array = as_array(given, spec.dtype)
    except FeedError as error:
        raise FeedError(f"input '{name}': {error.message}", hint=error.hint) from error
    if not spec.fits(array.shape):
        raise FeedError(
            f"input '{name}' has shape {list(array.shape)}, the signature wants {spec}",
            hint="* is any size; the first dimension counts the rows",
        )
    return array


def sample_feed(signature: Signature, batch_size: int, seed: int) -> dict[str, Array]:
    """A seeded random feed for want of samples: open first dimensions take the batch size, other open ones 8."""
    rng = np.random.default_rng(seed)
    feed: dict[str, Array] = {}
    for name, spec in signature.inputs.items():
        dims = (None,) if spec.shape is None else spec.shape
        shape = tuple((batch_size if at == 0 else 8) if dim is None else dim for at, dim in enumerate(dims))
        feed[name] = _sample(spec.dtype, shape, rng)
    return feed


def _sample(dtype: str, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    if dtype == "string":
        words = [b"alpha", b"beta", b"gamma", b"delta epsilon", "\u03b6\u00e9ta".encode(), b""]
        return as_array(np.array(words, dtype=object)[rng.integers(0, len(words), shape)], "string")
    if dtype == "bool":
        return np.asarray(rng.integers(0, 2, shape), dtype=bool)
    if dtype.startswith("complex"):
        return np.asarray(rng.normal(size=shape) + 1j * rng.normal(size=shape), dtype=NUMPY_DTYPES[dtype])
    if dtype in FLOATS:
        return np.asarray(rng.normal(size=shape), dtype=NUMPY_DTYPES[dtype])
    # Small whole numbers: most integer inputs are indices into a table whose size is not declared.
    return np.asarray(rng.integers(0, 8, shape), dtype=NUMPY_DTYPES[dtype])
