"""JSON values to arrays of the dtypes that a signature wants, with the server's words for each that does not fit."""

import binascii
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from toolkit.core.tensors import Array
from toolkit.errors import Fault, WireError
from toolkit.wire.dtypes import BY_NAME
from toolkit.wire.json_scanner import members
from toolkit.wire.json_writer import debug_text
from toolkit.wire.signatures import TensorInfo
from toolkit.wire.wording import tensor_unreadable

_BASE64_KEY = "b64"
_BASE64 = re.compile(r"([A-Za-z0-9+/]*)([=.]*)")
_SPACE = re.compile(r"[ \t\n\v\f\r]+")
# NumPy follows nesting that deep; TensorFlow itself ends at 254 dimensions.
_MAX_RANK = 64
_TYPE_NAMES: Mapping[type, str] = {
    type(None): "Null",
    dict: "Object",
    list: "Array",
    str: "String",
    int: "Number",
    float: "Number",
}


class Leaves(NamedTuple):
    """The values of one JSON value in order, and the shape it has by its first elements."""

    values: list[Any]
    shape: tuple[int, ...]


def is_base64_object(value: Any) -> bool:
    """Whether a value is `{"b64": "…"}`, which stands for bytes."""
    return (
        isinstance(value, dict)
        and _BASE64_KEY in value
        and len(members(value)) == 1
        and isinstance(value[_BASE64_KEY], str)
    )


def type_name(value: Any) -> str:
    """RapidJSON's name of a value's type."""
    if isinstance(value, bool):
        return "True" if value else "False"
    return _TYPE_NAMES[dict if isinstance(value, dict) else type(value)]


def decode_base64(value: Any) -> bytes:
    """The bytes that a base64 object stands for; padding may be missing, white space may be anywhere.

    Raises:
        WireError: it is no such object; in the server's words.
    """
    if not is_base64_object(value):
        raise WireError(
            f"JSON Value: {debug_text(value)} not formatted correctly for base64 data", hint='send {"b64": "…"}'
        )
    text = value[_BASE64_KEY]
    try:
        if len(text) % 4 == 0:
            return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        pass  # the server is less strict; what it takes is found below
    match = _BASE64.fullmatch(_SPACE.sub("", text))
    padding = {0: (0,), 2: (0, 2), 3: (0, 1)}
    if match is None or len(match[2]) not in padding.get(len(match[1]) % 4, ()):
        raise WireError("Unable to base64 decode", hint="use the standard alphabet with + and /")
    return binascii.a2b_base64(match[1] + "=" * (-len(match[1]) % 4))


def quick(value: Any, info: TensorInfo, *, bools: bool) -> Array | None:
    """What NumPy makes of nested lists, where that is what the server would make of them; else None.

    Args:
        value: the nested lists.
        info: the tensor wanted.
        bools: whether the text they came from may hold true or false, which NumPy would count as numbers.
    """
    dtype = info.dtype or ""
    kinds = _QUICK_KINDS.get(dtype)
    if kinds is None or not isinstance(value, list):
        return None
    try:
        array = np.array(value)
    except (ValueError, OverflowError, RecursionError):
        return None
    if array.dtype.kind not in kinds or not array.size or (bools and _holds_bools(value, array)):
        return None
    if dtype in BOUNDS:
        low, high = BOUNDS[dtype]
        if int(array.min()) < low or int(array.max()) > high:
            return None
    return _narrow(array, dtype)


def _holds_bools(value: Any, array: Array) -> bool:
    if array.dtype.kind == "b":
        return False
    flat = value
    for _ in range(array.ndim - 1):
        flat = [item for inner in flat for item in inner]
    return bool in set(map(type, flat))


def to_array(alias: str, found: Leaves, info: TensorInfo) -> Array:
    """The array of some values that were found to fit; surplus ones are dropped.

    Raises:
        WireError: it has more dimensions than an array can have; in the server's words for more than its own 254.
    """
    if len(found.shape) > _MAX_RANK:
        unreadable = tensor_unreadable(alias, f"nest less deeply: {_MAX_RANK} dimensions at most")
        raise WireError(unreadable.message, hint=unreadable.hint)
    values = found.values[: math.prod(found.shape)]
    dtype = info.dtype or ""
    if dtype == "string":
        array = np.empty(len(values), object)
        array[:] = values
    elif not values:
        array = np.empty(0, BY_NAME[dtype].numpy if dtype else np.float32)
    else:
        array = _narrow(np.array(values, _WIDE[dtype]), dtype)
    return array.reshape(found.shape)


def _narrow(array: Array, dtype: str) -> Array:
    if dtype == "float32":
        # By way of double, as the server does; what is too large becomes Infinity, silently.
        with np.errstate(over="ignore"):
            return array.astype(np.float64, copy=False).astype(np.float32)
    return array.astype(BY_NAME[dtype].numpy, copy=False)


def leaves(value: Any, info: TensorInfo) -> Leaves:
    """The values of one JSON value, each checked against the dtype.

    Raises:
        WireError: the value is ragged, or holds what the dtype cannot; in the server's words.
    """
    found: list[Any] = []
    shape = _shape(value)
    _fill(value, shape, info, found)
    return Leaves(found, shape)


def _shape(value: Any) -> tuple[int, ...]:
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        value = value[0] if value else None
    return tuple(shape)


def _fill(value: Any, shape: tuple[int, ...], info: TensorInfo, found: list[Any]) -> None:
    # A stack instead of recursion: a request may nest deeper than Python would follow.
    waiting = [iter((value,))]
    while waiting:
        item = next(waiting[-1], _END)
        level = len(waiting) - 1
        if item is _END:
            waiting.pop()
        elif not isinstance(item, list):
            if level != len(shape):
                raise WireError(
                    f"JSON Value: {debug_text(item)} found at incorrect level: {level + 1} in the JSON DOM. "
                    f"Expected at level: {len(shape)}",
                    hint="nest all values equally deep",
                )
            found.append(_leaf(item, info))
        elif level >= len(shape):
            raise WireError(
                f"Encountered list at unexpected level: {level} expected < {len(shape)}",
                hint="nest all values equally deep",
            )
        elif len(item) != shape[level]:
            raise WireError(
                f"Encountered list at unexpected size: {len(item)} at level: {level} expected size: {shape[level]}",
                hint="make all lists of one level equally long",
            )
        else:
            waiting.append(iter(item))


def _leaf(value: Any, info: TensorInfo) -> Any:
    if isinstance(value, dict):
        if info.dtype == "string":
            return decode_base64(value)
        raise _wrong_type(value, info)
    fits = _FITS.get(info.dtype or "")
    if fits is None:
        raise WireError(
            f"Conversion of JSON Value: {debug_text(value)} to type: {info.word}",
            hint="JSON cannot carry this dtype; use gRPC",
            fault=Fault.UNIMPLEMENTED,
        )
    if not fits(value):
        raise _wrong_type(value, info)
    return value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value


def _wrong_type(value: Any, info: TensorInfo) -> WireError:
    return WireError(
        f"JSON Value: {debug_text(value)} Type: {type_name(value)} is not of expected type: {info.word}",
        hint=f"send values of {info.word}",
    )


def _between(low: int, high: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and low <= value <= high


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


_END = object()
_INT32 = (-(2**31), 2**31 - 1)
# Small integers are read as int32 and then wrap, as they do in the server.
BOUNDS: Mapping[str, tuple[int, int]] = {
    **dict.fromkeys(("int32", "int16", "int8", "uint8"), _INT32),
    "int64": (-(2**63), 2**63 - 1),
    "uint32": (0, 2**32 - 1),
    "uint64": (0, 2**64 - 1),
}
_FITS: Mapping[str, Callable[[Any], bool]] = {
    **{name: _between(*bounds) for name, bounds in BOUNDS.items()},
    **dict.fromkeys(("float32", "float64"), _is_number),
    "bool": lambda value: isinstance(value, bool),
    "string": lambda value: isinstance(value, str),
}
_QUICK_KINDS: Mapping[str, str] = {
    **dict.fromkeys(BOUNDS, "iu"),
    **dict.fromkeys(("float32", "float64"), "iuf"),
    "bool": "b",
}
_WIDE: Mapping[str, Any] = {
    **dict.fromkeys(BOUNDS, np.int64),
    "uint64": np.uint64,
    **dict.fromkeys(("float32", "float64"), np.float64),
    "bool": np.bool_,
}
# What JSON can carry into the server, and out of it.
READABLE = frozenset(_FITS)
