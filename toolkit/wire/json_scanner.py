"""JSON text to Python values, byte by byte: slow, and exact about what is wrong and where.

It follows the states of RapidJSON's iterative parser, so that an error has the same words and the same offset.
"""

import re
from collections.abc import Sequence
from typing import Any, NoReturn

from toolkit.errors import WireError

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
_NUMBER = re.compile(rb"(-?)(0|[1-9][0-9]*)(?:(\.)([0-9]*))?(?:([eE][+-]?)([0-9]*))?")
_HEX4 = re.compile(rb"[0-9A-Fa-f]{4}")
_ESCAPES = {34: b'"', 92: b"\\", 47: b"/", 98: b"\b", 102: b"\f", 110: b"\n", 114: b"\r", 116: b"\t"}
_WORDS: dict[int, tuple[bytes, Any]] = {110: (b"null", None), 116: (b"true", True), 102: (b"false", False)}
_BOM = (0xEF, 0xBB, 0xBF)


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


def scan(body: bytes) -> Any:
    """The JSON value that a body starts with; what follows it is not looked at.

    Raises:
        WireError: there is none; in the server's words.
    """
    return _Scanner(body).document()


class _Scanner:
    def __init__(self, body: bytes) -> None:
        self.body = body
        self.at = 0

    def document(self) -> Any:
        for mark in _BOM:
            if self.peek() == mark:
                self.at += 1
        self.space()
        if self.peek() in b"\0]},:":
            self.fail(_EMPTY)
        # Members of an object are kept as pairs until it ends; a name waits for its value on the stack.
        stack: list[list[Any]] = []
        names: list[str | None] = []
        while True:
            opened = self.open(stack, names)
            if opened:
                continue
            value = self.closed(stack, names) if self.peek() in b"]}" else self.scalar()
            value = self.attach(value, stack, names)
            if not stack:
                return value

    def open(self, stack: list[list[Any]], names: list[str | None]) -> bool:
        """Steps into an array or object; False where a scalar or the end of an empty one comes next."""
        kind = self.peek()
        if kind not in b"[{" or self.at >= len(self.body):
            return False
        self.at += 1
        self.space()
        stack.append([])
        names.append(None)
        if kind == 91:
            return self.peek() != 93
        if self.peek() == 125:
            names[-1] = ""
            return False
        names[-1] = self.name()
        return True

    def closed(self, stack: list[list[Any]], names: list[str | None]) -> Any:
        """An array or object that ends right where it began."""
        if not stack or stack[-1] or (self.peek() == 125) != (names[-1] == ""):
            self.fail(_VALUE)
        self.at += 1
        return {} if names.pop() == "" and stack.pop() is not None else self.empty_list(stack)

    def empty_list(self, stack: list[list[Any]]) -> list[Any]:
        return stack.pop()

    def attach(self, value: Any, stack: list[list[Any]], names: list[str | None]) -> Any:
        """Puts a value where it belongs, and ends every array and object that ends with it."""
        raise NotImplementedError

    def peek(self) -> int:
        return self.body[self.at] if self.at < len(self.body) else 0

    def space(self) -> None:
        match = _SPACE.match(self.body, self.at)
        self.at = match.end() if match else self.at

    def fail(self, reason: str, at: int | None = None) -> NoReturn:
        offset = self.at if at is None else at
        raise WireError(f"JSON Parse error: {reason} at offset: {offset}", hint="send valid JSON")
