"""JSON text to Python values, accepting and refusing what TensorFlow Serving's parser accepts and refuses.

That parser is RapidJSON, told to take NaN and Infinity and to stop after the first value. It keeps every member of an
object, takes bytes that are no UTF-8, and reports each error with its offset. Almost all requests need none of this and
go through orjson; what orjson refuses, or may have read otherwise, is read again.
"""

import json
import re
from collections.abc import Callable
from typing import Any

import orjson

from toolkit.errors import WireError
from toolkit.wire.json_scanner import build_object, scan
from toolkit.wire.json_writer import debug_text
from toolkit.wire.rapid_doubles import read_double

_MAX_INTEGER = 2**64 - 1
_MIN_INTEGER = -(2**63)
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# "instances", a row, an input, a few lists, and a base64 object.
_DEEPEST = 8
_FEW = 16
_LONGEST_EXACT = 1 << 20
_LONGEST_INTEGER = 20
_FRACTION = re.compile(r"[0-9](?:\.|e-?)[0-9]")
_NAMED_NUMBERS = re.compile(rb"NaN|Infinity")


def read_json(body: bytes) -> Any:
    """The JSON value that a body starts with; text that is no UTF-8 keeps its bytes as surrogate escapes.

    Raises:
        WireError: there is none; in the server's words.
    """
    try:
        value = orjson.loads(body.removeprefix(_BYTE_ORDER_MARK))
    except orjson.JSONDecodeError:
        return _read_again(body)
    if isinstance(value, dict) and _has_more_colons(body, _members(value)):
        # A colon in some text, or a name that stands twice: orjson would keep the last, the server uses the first.
        return _read_all_members(body)
    return value


def read_json_object(body: bytes) -> dict[str, Any]:
    """The JSON object that a request's body has to be.

    Raises:
        WireError: it is none; in the server's words.
    """
    if not body:
        raise WireError("JSON Parse error: The document is empty", hint="send a JSON object")
    value = read_json(body)
    if not isinstance(value, dict):
        raise WireError(f"JSON Value: {debug_text(read_exactly(value, body))} Is not object", hint="send a JSON object")
    return value


def shows_fraction(error: WireError) -> bool:
    """Whether an error about a body may show a number that the server read otherwise; then `read_exactly` says how."""
    return _FRACTION.search(error.message) is not None


def read_exactly(value: Any, body: bytes) -> Any:
    """What `read_json` read in a body, with doubles as RapidJSON reads them: not always those nearest to what it says.

    Each takes a microsecond or more, and too little changes to be seen but in an error's text. A very long body keeps
    the value that was read, since a request must not take seconds for the last digit in its error.
    """
    if len(body) > _LONGEST_EXACT:
        return value
    if b"\\u" in body:
        return scan(body, read_double)
    try:
        return json.loads(
            body.decode("utf-8-sig"), object_pairs_hook=build_object, parse_int=_exact_integer, parse_float=read_double
        )
    except (ValueError, RecursionError, OverflowError):
        return scan(body, read_double)


def _has_more_colons(body: bytes, members: int) -> bool:
    if members > _FEW:
        return body.count(b":") > members
    # Finding is ten times as fast as counting where there is little to find.
    at = -1
    for _ in range(members + 1):
        at = body.find(b":", at + 1)
        if at < 0:
            return False
    return True


def _members(value: Any, depth: int = 0) -> int:
    """How many members the objects have that stand where requests have them; lists of numbers are not looked into."""
    if depth > _DEEPEST:
        return 0
    if isinstance(value, dict):
        return len(value) + sum(_members(item, depth + 1) for item in value.values() if isinstance(item, dict | list))
    if value and isinstance(value[0], dict | list):
        first = value[0]
        if isinstance(first, dict) or (first and isinstance(first[0], dict | list)):
            return sum(_members(item, depth + 1) for item in value if isinstance(item, dict | list))
    return 0


def _read_again(body: bytes) -> Any:
    if _NAMED_NUMBERS.search(body) and b"\\u" not in body:
        try:
            return json.loads(
                body.decode(),
                object_pairs_hook=build_object,
                parse_int=_integer,
                parse_float=_finite,
            )
        except (ValueError, RecursionError):
            pass  # the scanner finds out what is wrong, and where
    return scan(body)


def _read_all_members(body: bytes) -> Any:
    try:
        return json.loads(body, object_pairs_hook=build_object, parse_int=_integer)
    except (ValueError, RecursionError):
        return scan(body)


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError(text)
    return number


def _integer(text: str, double: Callable[[str], float] = _finite) -> int | float:
    # Longer than any 64-bit number; also keeps clear of Python's own limit on digits.
    number = int(text) if len(text) <= _LONGEST_INTEGER else None
    return number if number is not None and _MIN_INTEGER <= number <= _MAX_INTEGER else double(text)


def _exact_integer(text: str) -> int | float:
    return _integer(text, read_double)


def may_hold_bools(body: bytes) -> bool:
    """Whether a JSON text may hold true or false; the keys and numbers of most requests have none of their letters."""
    return (b"r" in body and b"true" in body) or (b"l" in body and b"false" in body)
