"""Predict's request from bytes to arrays without protobuf objects, for the shapes that most calls have.

It is strict: what is not plainly usual (another encoding of a tensor, a field twice, an unknown field, bytes that are
no request) is left to the protobuf codec of wire/rpc, which alone decides what such bytes mean.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from toolkit.core.tensors import NUMPY_DTYPES, Array
from toolkit.wire.dtypes import BY_NAME
from toolkit.wire.messages import PredictRequest, Target
from toolkit.wire.varints import read_varint

# The dtypes whose raw bytes are an array as they stand. A bool's bytes may be any but 0 for true, and text is listed.
_RAW = {BY_NAME[name].number: kind for name, kind in NUMPY_DTYPES.items() if name not in ("bool", "string")}
# The value lists whose packed form is the array's bytes, by dtype: the tag of the list.
PACKED = {BY_NAME["float32"].number: 0x2A, BY_NAME["float64"].number: 0x32}
_CONTENT = 0x22
_VALUE_TAGS = frozenset({_CONTENT, *PACKED.values()})
_MAX_RANK = 32  # below NumPy's own bound
# What is remembered is bounded, since clients choose it: lengths, forms of one length, bytes of one form.
_LENGTHS_KEPT = 256
_FORMS_PER_LENGTH = 4
_MAX_FRAME_BYTES = 4096


class _UnusualError(Exception):
    """The bytes are not of the plain shape that this codec reads."""


@dataclass(frozen=True, slots=True)
class _Values:
    """Where the values of one input stand in a request, and what they are."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    start: int
    count: int
    aligned: bool

    @property
    def size(self) -> int:
        """How many bytes."""
        return self.count * self.dtype.itemsize


# What asks alike takes alike: the model, version, label and signature, and the size of the request.
Kind = tuple[str, int | None, str | None, str | bytes, int]


@dataclass(frozen=True, slots=True, eq=False)
class Form:
    """A parsed request without its values: all requests with the same bytes around theirs parse alike.

    Each is itself alone, so that what belongs to it is found by its identity.
    """

    frame: tuple[tuple[int, bytes], ...]
    target: Target
    values: tuple[_Values, ...]
    output_filter: tuple[str, ...]
    kind: Kind

    def fits(self, body: bytes) -> bool:
        """Whether a request of the same length has this form."""
        for at, piece in self.frame:  # noqa: SIM110  all() of a generator takes three times as long
            if not body.startswith(piece, at):
                return False
        return True

    def feed(self, body: bytes) -> dict[str, Array]:
        """The inputs of a request of this form: arrays over its own bytes."""
        feed = {}
        for one in self.values:
            found = np.frombuffer(body, one.dtype, one.count, one.start).reshape(one.shape)
            # Runtimes want their numbers on a border of their size.
            feed[one.name] = found if one.aligned else found.copy()
        return feed

    def request(self, body: bytes) -> PredictRequest:
        """The request that these bytes are."""
        return PredictRequest(self.target, self.feed(body), self.output_filter)


class PredictReader:
    """Reads requests, and remembers the forms they had. May be used from several threads."""

    def __init__(self) -> None:
        self._forms: dict[int, tuple[Form, ...]] = {}

    def read(self, body: bytes) -> Form | None:
        """The form of the request in some bytes; None leaves them to the protobuf codec."""
        known = self._forms.get(len(body), ())
        for form in known:
            if form.fits(body):
                return form
        try:
            form = _parse(body)
        except (_UnusualError, IndexError, ValueError):
            return None
        if sum(len(piece) for _, piece in form.frame) <= _MAX_FRAME_BYTES:
            if len(self._forms) >= _LENGTHS_KEPT:
                self._forms.clear()
            self._forms[len(body)] = (form, *known)[:_FORMS_PER_LENGTH]
        return form


def _parse(body: bytes) -> Form:
    target: Target | None = None
    values: dict[str, _Values] = {}
    output_filter: list[str] = []
    for tag, start, end in _fields(body, 0, len(body)):
        if tag == 0x0A and target is None:
            target = _target(body, start, end)
        elif tag == 0x12:
            found = _input(body, start, end)
            if found.name in values:
                raise _UnusualError
            values[found.name] = found
        elif tag == 0x1A:
            output_filter.append(_text(body, start, end))
        else:
            raise _UnusualError
    if target is None:
        raise _UnusualError
    kind = (target.model, target.version, target.label, target.signature, len(body))
    frame = _frame(body, values.values())
    return Form(frame, target, tuple(values.values()), tuple(output_filter), kind)


def _fields(body: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Tag, start and end of every field that has a length."""
    while at < end:
        tag = body[at]
        size, start = read_varint(body, at + 1)
        at = start + size
        if tag & 7 != 2 or at > end:
            raise _UnusualError
        yield tag, start, at


def _target(body: bytes, at: int, end: int) -> Target:
    model, signature, label, version = "", "", None, None
    seen = set()
    for tag, start, stop in _fields(body, at, end):
        if tag in seen:
            raise _UnusualError
        seen.add(tag)
        if tag == 0x0A:
            model = _text(body, start, stop)
        elif tag == 0x12 and label is None:
            version = _number(body, start, stop)
        elif tag == 0x1A:
            signature = _text(body, start, stop)
        elif tag == 0x22 and version is None:
            label = _text(body, start, stop)
        else:
            raise _UnusualError
    return Target(model, version, label, signature)


def _number(body: bytes, at: int, end: int) -> int:
    """The one number in a message that holds nothing else; 0 is left out by some writers."""
    if at == end:
        return 0
    if body[at] != 0x08:
        raise _UnusualError
    number, stop = read_varint(body, at + 1)
    if stop != end:
        raise _UnusualError
    return number


def _text(body: bytes, at: int, end: int) -> str:
    return body[at:end].decode()


def _input(body: bytes, at: int, end: int) -> _Values:
    tags, starts, ends = zip(*_fields(body, at, end), strict=True)
    if tags != (0x0A, 0x12):
        raise _UnusualError
    return _tensor(_text(body, starts[0], ends[0]), body, starts[1], end)


def _tensor(name: str, body: bytes, at: int, end: int) -> _Values:
    number, shape, found = 0, None, None
    while at < end:
        tag = body[at]
        size, start = read_varint(body, at + 1)
        if tag == 0x08 and not number:
            number, at = size, start
            continue
        at = start + size
        if at > end:
            raise _UnusualError
        if tag == 0x12 and shape is None:
            shape = _shape(body, start, at)
        elif tag in _VALUE_TAGS and found is None and size:
            found = (tag, start, size)
        else:
            raise _UnusualError
    if found is None or number not in _RAW:
        raise _UnusualError
    tag, start, size = found
    dtype, count = _RAW[number], 1
    for length in shape or ():
        count *= length
    if tag not in (_CONTENT, PACKED.get(number)) or count * dtype.itemsize != size:
        raise _UnusualError
    # The views of one length all stand alike: CPython puts the first byte of every bytes object on the same border.
    aligned = bool(np.frombuffer(body, dtype, count, start).flags.aligned)
    return _Values(name, dtype, shape or (), start, count, aligned)


def _shape(body: bytes, at: int, end: int) -> tuple[int, ...]:
    sizes = []
    for tag, start, stop in _fields(body, at, end):
        if tag != 0x12:
            raise _UnusualError
        sizes.append(_number(body, start, stop))
    if len(sizes) > _MAX_RANK:
        raise _UnusualError
    return tuple(sizes)


def _frame(body: bytes, values: Iterable[_Values]) -> tuple[tuple[int, bytes], ...]:
    """What stands around the values, piece by piece; there is nothing to look at in an empty one."""
    pieces: list[tuple[int, bytes]] = []
    at = 0
    for one in values:
        pieces.append((at, body[at : one.start]))
        at = one.start + one.size
    return tuple(found for found in (*pieces, (at, body[at:])) if found[1])
