"""JSON text to Python values, byte by byte: slow, and exact about what is wrong and where.

It follows the states of RapidJSON's iterative parser, so that an error has the same words and the same offset.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from toolkit.errors import WireError
from toolkit.wire.rapid_doubles import read_double

_EMPTY = "The document is empty."
_VALUE = "Invalid value."
_NAME = "Missing a name for object member."
_COLON = "Missing a colon after a name of object member."
_COMMA_OR_CURLY = "Missing a comma or '}' after an object member."
_COMMA_OR_SQUARE = "Missing a comma or ']' after an array element."
_HEX = "Incorrect hex digit after \\u escape in string."
_SURROGATE = "The surrogate pair in string is invalid."
_ESCAPE = "Invalid escape character in string."
_QUOTE = "Missing a closing quotation mark in string."
_TOO_BIG = "Number too big to be stored in double."
_FRACTION = "Miss fraction part in number."
_EXPONENT = "Miss exponent in number."

_SPACE = re.compile(rb"[ \n\r\t]*")
_PLAIN_TEXT = re.compile(rb'[^"\\\x00-\x1f]*')
_WHOLE = re.compile(rb"-?(0|[1-9][0-9]*)")
_TAIL = re.compile(rb"(?:(\.)([0-9]*))?(?:([eE][+-]?)([0-9]*))?")
_HEX4 = re.compile(rb"[0-9A-Fa-f]{4}")
_ESCAPES = {34: b'"', 92: b"\\", 47: b"/", 98: b"\b", 102: b"\f", 110: b"\n", 114: b"\r", 116: b"\t"}
_WORDS: dict[int, tuple[bytes, Any]] = {110: (b"null", None), 116: (b"true", True), 102: (b"false", False)}
_BOM = (0xEF, 0xBB, 0xBF)
_DOUBLE_QUOTE, _COMMA, _MINUS, _COLON_SIGN, _BACKSLASH = b'",-:\\'
_SQUARE, _SQUARE_END, _CURLY_END, _SMALL_I, _SMALL_U = b"[]}iu"
_HIGH_FIRST, _LOW_FIRST, _LOW_LAST = 0xD800, 0xDC00, 0xDFFF
_MIN_INTEGER, _MAX_INTEGER, _LONGEST_INTEGER = -(2**63), 2**64 - 1, 20


class ManyMembers(dict[str, Any]):
    """An object in which a name stands more than once: finds the first, and remembers all."""

    pairs: Sequence[tuple[str, Any]]


def build_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of some members; where a name stands twice, the first counts."""
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    many = ManyMembers(reversed(pairs))
    many.pairs = pairs
    return many


def members(value: dict[str, Any]) -> Sequence[tuple[str, Any]]:
    """Every member of an object in order."""
    return value.pairs if isinstance(value, ManyMembers) else tuple(value.items())


def as_c_string(name: str) -> str:
    """A name as the server takes it where it reads it as a C string: it ends at the first NUL."""
    return name.partition("\0")[0]


def scan(body: bytes, double: Callable[[str], float] = float) -> Any:
    """The JSON value that a body starts with; what follows it is not looked at.

    Args:
        body: the text.
        double: what makes a number of a text that is no integer: the nearest, or RapidJSON's own.

    Raises:
        WireError: there is none; in the server's words.
    """
    return _Scanner(body, double).document()


class _Open:
    """An array or object that has not ended yet; an object's next value waits for its name."""

    def __init__(self, name: str | None) -> None:
        self.is_array = name is None
        self.name = name or ""
        self.items: list[Any] = []

    def add(self, value: Any) -> None:
        self.items.append(value if self.is_array else (self.name, value))

    def value(self) -> Any:
        return self.items if self.is_array else build_object(self.items)


class _Scanner:
    def __init__(self, body: bytes, double: Callable[[str], float]) -> None:
        self.body = body
        self.double = double
        self.at = 0

    def document(self) -> Any:
        for mark in _BOM:
            if self.peek() == mark:
                self.at += 1
        self.space()
        if self.peek() in b"\0]},:":
            self.fail(_EMPTY)
        stack: list[_Open] = []
        while True:
            opened = self.peek() in b"[{" and self.open()
            if isinstance(opened, _Open):
                stack.append(opened)
                continue
            value = self.empty() if opened else self.scalar()
            while stack:
                stack[-1].add(value)
                if self.goes_on(stack[-1]):
                    break
                value = stack.pop().value()
            else:
                return value

    def open(self) -> _Open | bool:
        """Steps into an array or object; True where it ends at once."""
        is_array = self.take() == _SQUARE
        self.space()
        if self.peek() == (_SQUARE_END if is_array else _CURLY_END):
            return True
        return _Open(None if is_array else self.name())

    def empty(self) -> Any:
        return [] if self.take() == _SQUARE_END else {}

    def goes_on(self, container: _Open) -> bool:
        """Whether another value follows in a container; steps over the comma, or over its end."""
        self.space()
        end = _SQUARE_END if container.is_array else _CURLY_END
        if self.peek() == end:
            self.at += 1
            return False
        if self.peek() != _COMMA:
            self.fail(_COMMA_OR_SQUARE if container.is_array else _COMMA_OR_CURLY)
        self.at += 1
        self.space()
        if container.is_array:
            if self.peek() == end:
                self.fail(_VALUE)
        else:
            container.name = self.name()
        return True

    def name(self) -> str:
        if self.peek() != _DOUBLE_QUOTE:
            self.fail(_NAME)
        name = self.text()
        self.space()
        if self.peek() != _COLON_SIGN:
            self.fail(_COLON)
        self.at += 1
        self.space()
        return name

    def scalar(self) -> Any:
        first = self.peek()
        if first in _WORDS:
            return self.word(*_WORDS[first])
        if first == _DOUBLE_QUOTE:
            return self.text()
        if first in b"]},:\0":
            self.fail(_VALUE)
        return self.number()

    def word(self, expected: bytes, value: bool | None) -> bool | None:
        if not self.took(expected):
            self.fail(_VALUE)
        return value

    def number(self) -> int | float:
        start, match = self.at, _WHOLE.match(self.body, self.at)
        if match is None:
            return self.named_number()
        self.at = match.end()
        if self.peek() in b".eE":
            return self.with_tail(start, match.group())
        integer = int(match.group()) if len(match[1]) <= _LONGEST_INTEGER else None
        if integer is not None and _MIN_INTEGER <= integer <= _MAX_INTEGER:
            return integer
        return self.with_tail(start, match.group())

    def with_tail(self, start: int, whole: bytes) -> float:
        """A number with what may follow its whole part: a fraction and an exponent."""
        match = _TAIL.match(self.body, self.at)
        point, fraction, exponent, power = match.groups() if match else (None,) * 4
        text = whole + (point + fraction if point and fraction else b"")
        if exponent and power and bool(point) == bool(fraction):
            text += exponent + power
        try:
            # It looks at the exponent alone, so 10e308 is Infinity and 1e309 is an error.
            read_double(text.decode())
        except OverflowError:
            self.fail(_TOO_BIG, start)
        if match and point and not fraction:
            self.fail(_FRACTION, match.end(1))
        if match and exponent and not power:
            self.fail(_EXPONENT, match.end(3))
        self.at = match.end() if match else self.at
        return self.double(text.decode())

    def named_number(self) -> float:
        start, negative = self.at, self.peek() == _MINUS
        self.at += negative
        value = float("nan")
        if not self.took(b"NaN"):
            # What was taken of a NaN stays taken: RapidJSON reads NaInf as Infinity.
            self.word(b"Inf", None)
            if self.peek() == _SMALL_I:
                self.word(b"inity", None)
            value = float("-inf") if negative else float("inf")
        if self.peek() in b".eE":
            # It goes on as after any number, and forgets the name: NaN.5 is 0.5.
            return self.with_tail(start, b"-0" if negative else b"0")
        return value

    def took(self, expected: bytes) -> bool:
        """Steps over as much of a word as is there; whether that was all of it."""
        for letter in expected:
            if self.peek() != letter:
                return False
            self.at += 1
        return True

    def text(self) -> str:
        self.at += 1
        parts: list[bytes] = []
        while True:
            end = _end_of(_PLAIN_TEXT, self.body, self.at)
            parts.append(self.body[self.at : end])
            self.at = end
            stop = self.peek()
            if stop == _DOUBLE_QUOTE:
                self.at += 1
                return b"".join(parts).decode("utf-8", "surrogateescape")
            if stop != _BACKSLASH:
                self.fail(_ESCAPE if stop else _QUOTE)
            parts.append(self.escaped())

    def escaped(self) -> bytes:
        start = self.at
        self.at += 1
        letter = self.peek()
        if letter in _ESCAPES:
            self.at += 1
            return _ESCAPES[letter]
        if letter != _SMALL_U:
            self.fail(_ESCAPE, start)
        self.at += 1
        point = self.hex4(start)
        if _HIGH_FIRST <= point < _LOW_FIRST:
            if self.body[self.at : self.at + 2] != b"\\u":
                self.fail(_SURROGATE, start)
            self.at += 2
            low = self.hex4(start)
            if not _LOW_FIRST <= low <= _LOW_LAST:
                self.fail(_SURROGATE, start)
            point = 0x10000 + ((point - _HIGH_FIRST) << 10) + (low - _LOW_FIRST)
        return chr(point).encode("utf-8", "surrogatepass")

    def hex4(self, start: int) -> int:
        match = _HEX4.match(self.body, self.at)
        if match is None:
            self.fail(_HEX, start)
        self.at = match.end()
        return int(match.group(), 16)

    def peek(self) -> int:
        return self.body[self.at] if self.at < len(self.body) else 0

    def take(self) -> int:
        self.at += 1
        return self.body[self.at - 1]

    def space(self) -> None:
        self.at = _end_of(_SPACE, self.body, self.at)

    def fail(self, reason: str, at: int | None = None) -> NoReturn:
        offset = self.at if at is None else at
        raise WireError(f"JSON Parse error: {reason} at offset: {offset}", hint="send valid JSON")


def _end_of(pattern: re.Pattern[bytes], body: bytes, at: int) -> int:
    match = pattern.match(body, at)
    return match.end() if match else at
