"""Values to the JSON text that TensorFlow Serving writes: its layout, its numbers, its escapes.

Text is kept as str whose bytes outside UTF-8 are surrogate escapes, since the server passes such bytes through.
"""

import base64
import math
import re
from array import array as RoundedTo  # noqa: N812  # beside NumPy's arrays it needs a name of its own
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np

from toolkit.core.tensors import Array
from toolkit.errors import WireError
from toolkit.wire.dtypes import dtype_of
from toolkit.wire.json_scanner import members
from toolkit.wire.rapid_doubles import double_text

_INDENT = "    "
_DEBUG_BYTES = 256
_END = "end"
_NAME = object()
_TO_ESCAPE = re.compile(r'["\\\x00-\x1f]')
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
# By so many steps to the next number is one off at most that reads as it, by what doubles can tell.
_CLOSE = {"f": 0.500001, "d": 8.0}
_MANY = 64  # from here on NumPy costs less than it saves
_FLOATS = frozenset({"float32", "float64"})
_ARRAY_CODES: dict[str, Literal["f", "d"]] = {"f": "f", "d": "d"}
_LONG_FORMATS = {"f": "%.9g", "d": "%.17g"}
_WRITABLE = frozenset({"int32", "int16", "int8", "uint8", "int64", "uint32", "uint64"})


def encode_text(text: str) -> bytes:
    """The bytes of an answer's text."""
    return text.encode("utf-8", "surrogateescape")


def quote(text: str) -> str:
    """Text as a JSON string."""
    return f'"{_TO_ESCAPE.sub(_escape, text)}"'


def _escape(match: re.Match[str]) -> str:
    found = match.group()
    return _ESCAPES.get(found) or f"\\u{ord(found):04X}"


def debug_text(value: Any) -> str:
    """A value as the server shows it in an error: pretty, and cut once it is over 256 bytes."""
    out = bytearray()
    for piece in _pieces(value):
        if piece is None or len(out) >= _DEBUG_BYTES:
            break
        out += encode_text(piece)
    return out.decode("utf-8", "surrogateescape")


def _pieces(value: Any) -> Iterator[str | None]:
    """A value's text in the pieces between which the server looks at the limit; None where its writer gives up."""
    # A stack instead of recursion: a request may nest deeper than Python would follow.
    waiting: list[Iterator[tuple[str, Any]]] = [iter([("", value)])]
    endings = [""]
    while waiting:
        prefix, item = next(waiting[-1], (_END, None))
        if prefix is _END:
            waiting.pop()
            yield endings.pop()
        elif item is _NAME:
            yield prefix
        elif isinstance(item, dict):
            yield prefix + "{"
            waiting.append(_member_parts(item, _INDENT * len(waiting)))
            endings.append(f"\n{_INDENT * (len(waiting) - 2)}}}" if item else "}")
        elif isinstance(item, list):
            yield prefix + "["
            waiting.append((", " if index else "", inner) for index, inner in enumerate(item))
            endings.append("]")
        elif isinstance(item, float) and not math.isfinite(item):
            yield prefix
            yield None
        else:
            yield prefix + _scalar(item)


def _member_parts(value: dict[str, Any], indent: str) -> Iterator[tuple[str, Any]]:
    for index, (name, item) in enumerate(members(value)):
        yield f"{',' if index else ''}\n{indent}{quote(name)}", _NAME
        yield ": ", item


def _scalar(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    return double_text(value) if isinstance(value, float) else quote(value)


def number_texts(array: Array) -> list[str]:
    """Each value of a float array as the server prints it: six digits if they say it exactly, else 9 (or 17)."""
    if array.size >= _MANY:
        return _many_texts(array)
    values = array.ravel().tolist()
    if not values:
        return []
    short = "%g " * len(values) % tuple(values)
    if "n" in short:
        return _with_named_numbers(array, values)
    texts = short.split()
    # The standard array rounds to the dtype in one step, where NumPy takes a few, which shows in small answers.
    read = RoundedTo(_ARRAY_CODES[array.dtype.char], map(float, texts)).tolist()
    if read != values:
        long = _printed(_LONG_FORMATS[array.dtype.char], values)
        texts = [
            few if back == value else many for few, back, value, many in zip(texts, read, values, long, strict=True)
        ]
    # A point tells a client that the number is no integer.
    return [text if "." in text or "e" in text else text + ".0" for text in texts]


def _printed(form: str, values: Sequence[float]) -> list[str]:
    return (f"{form} " * len(values) % tuple(values)).split()


def _many_texts(array: Array) -> list[str]:
    """The same, six digits tried only where they may be enough: printing is what takes the time."""
    flat = array.ravel()
    texts = _printed(_LONG_FORMATS[flat.dtype.char], flat.tolist())
    (maybe,) = np.nonzero(_may_be_short(flat))
    for begin in range(0, len(maybe), _MANY - 1):
        some = maybe[begin : begin + _MANY - 1]
        for index, text in zip(some.tolist(), number_texts(flat[some]), strict=True):
            texts[index] = text
    return texts


def _may_be_short(flat: Array) -> Array:
    """Which values six digits may say exactly, or are no fractions or no numbers; a few others among them."""
    wide = flat.astype(np.float64)
    size = np.abs(wide)
    with np.errstate(all="ignore"):
        scale = 10.0 ** (5 - np.floor(np.log10(size)))
        # Where this makes no sense, as for the smallest numbers, it compares false.
        surely_long = np.abs(np.rint(wide * scale) / scale - wide) > np.spacing(np.abs(flat)) * _CLOSE[flat.dtype.char]
    return ~surely_long | (wide == np.rint(wide))


def _with_named_numbers(array: Array, values: list[float]) -> list[str]:
    texts = number_texts(np.where(np.isfinite(array), array, array.dtype.type(0)))
    for index, value in enumerate(values):
        if not math.isfinite(value):
            texts[index] = "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return texts


def cell_texts(array: Array, *, as_bytes: bool, depth: int) -> list[str]:
    """Each value of an array as JSON text.

    Args:
        array: the values.
        as_bytes: whether strings are written as base64 objects.
        depth: how deep such an object stands.

    Raises:
        WireError: the server cannot write such values; in its words.
    """
    dtype = dtype_of(array)
    if dtype.name in _FLOATS:
        return number_texts(array)
    flat = array.ravel().tolist()
    if dtype.name in _WRITABLE:
        return [str(value) for value in flat]
    if dtype.name == "bool":
        return ["true" if value else "false" for value in flat]
    if dtype.name == "string":
        return [_base64_object(item, depth) if as_bytes else _string(item) for item in flat]
    if flat:
        raise WireError(f"Failed to write JSON value for tensor type: {dtype.word}", hint="ask over gRPC")
    return []


def _string(item: bytes) -> str:
    return quote(item.decode("utf-8", "surrogateescape"))


def _base64_object(item: bytes, depth: int) -> str:
    encoded = base64.b64encode(item).decode()
    return f'{{\n{_INDENT * (depth + 1)}"b64": "{encoded}"\n{_INDENT * depth}}}'


def nested(cells: Sequence[str], shape: Sequence[int], depth: int, *, one_line: bool) -> str:
    """Values of a shape as nested JSON arrays, on one line or with a line for each value."""
    if not shape:
        return cells[0]
    if shape[0] == 0:
        return "[]"
    if len(shape) == 1:
        parts = cells
    else:
        size = len(cells) // shape[0]
        parts = [
            nested(cells[at * size : (at + 1) * size], shape[1:], depth + 1, one_line=one_line)
            for at in range(shape[0])
        ]
    if one_line:
        return f"[{', '.join(parts)}]"
    line = "\n" + _INDENT * (depth + 1)
    return f"[{line}{(',' + line).join(parts)}\n{_INDENT * depth}]"
