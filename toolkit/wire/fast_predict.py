"""Predict between bytes and arrays without protobuf objects, for the shapes that most calls have.

It is strict: what is not plainly usual (another encoding of a tensor, a field twice, an unknown field, bytes that are
no request) is left to the protobuf codec of wire/rpc, which alone decides what such bytes mean.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from toolkit.core.tensors import NUMPY_DTYPES, Array
from toolkit.wire import protos
from toolkit.wire.dtypes import BY_NAME
from toolkit.wire.messages import PredictRequest, PredictResponse, Target
from toolkit.wire.rpc import fill_spec
from toolkit.wire.tensor_proto import encode_tensor
from toolkit.wire.varints import read_varint, write_field, write_varint

# The dtypes whose raw bytes are an array as they stand. A bool's bytes may be any but 0 for true, and text is listed.
_RAW = {BY_NAME[name].number: kind for name, kind in NUMPY_DTYPES.items() if name not in ("bool", "string")}
# The value lists whose packed form is the array's bytes, by dtype: the tag of the list.
_PACKED = {BY_NAME["float32"].number: 0x2A, BY_NAME["float64"].number: 0x32}
Key = TypeVar("Key")
_LISTED_RAW = frozenset(_RAW[number] for number in _PACKED)
_CONTENT = 0x22
_VALUE_TAGS = frozenset({_CONTENT, *_PACKED.values()})
_MAX_RANK = 32  # below NumPy's own bound
# What is remembered is bounded, since clients choose it: lengths, forms of one length, bytes of one form, heads.
_LENGTHS_KEPT = 256
_FORMS_PER_LENGTH = 4
_MAX_FRAME_BYTES = 4096
_HEADS_KEPT = 1024


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

    def view(self, body: bytes) -> Array:
        """The array over the request's own bytes; runtimes want their numbers on a border of their size."""
        found = np.frombuffer(body, self.dtype, self.count, self.start).reshape(self.shape)
        return found if self.aligned else found.copy()

    @property
    def size(self) -> int:
        """How many bytes."""
        return self.count * self.dtype.itemsize


@dataclass(frozen=True, slots=True)
class _Form:
    """A parsed request without its values: all requests with the same bytes around theirs parse alike."""

    frame: tuple[tuple[int, bytes], ...]
    target: Target
    values: tuple[_Values, ...]
    output_filter: tuple[str, ...]

    def fits(self, body: bytes) -> bool:
        """Whether a request of the same length has this form."""
        return all([body.startswith(piece, at) for at, piece in self.frame])  # noqa: C419  a list is half the time

    def read(self, body: bytes) -> PredictRequest:
        """The request that these bytes are."""
        return PredictRequest(self.target, {one.name: one.view(body) for one in self.values}, self.output_filter)


class PredictReader:
    """Reads requests, and remembers the forms they had. May be used from several threads."""

    def __init__(self) -> None:
        self._forms: dict[int, tuple[_Form, ...]] = {}

    def read(self, body: bytes) -> PredictRequest | None:
        """The request in some bytes; None leaves them to the protobuf codec."""
        known = self._forms.get(len(body), ())
        for form in known:
            if form.fits(body):
                return form.read(body)
        try:
            form = _parse(body)
        except (_UnusualError, IndexError, ValueError):
            return None
        if sum(len(piece) for _, piece in form.frame) <= _MAX_FRAME_BYTES:
            if len(self._forms) >= _LENGTHS_KEPT:
                self._forms.clear()
            self._forms[len(body)] = (form, *known)[:_FORMS_PER_LENGTH]
        return form.read(body)


def _parse(body: bytes) -> _Form:
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
    return _Form(_frame(body, values.values()), target, tuple(values.values()), tuple(output_filter))


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
    if tag not in (_CONTENT, _PACKED.get(number)) or count * dtype.itemsize != size:
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
    """What stands around the values, piece by piece."""
    pieces: list[tuple[int, bytes]] = []
    at = 0
    for one in values:
        pieces.append((at, body[at : one.start]))
        at = one.start + one.size
    return (*pieces, (at, body[at:]))


class PredictWriter:
    """Writes answers, and remembers what stands before and after the values. May be used from several threads."""

    def __init__(self) -> None:
        self._heads: dict[tuple[str, np.dtype[Any], tuple[int, ...]], bytes] = {}
        self._tails: dict[Target, bytes] = {}

    def write(self, response: PredictResponse) -> bytes:
        """The bytes of an answer, outputs first, as the real server orders them.

        Raises:
            WireError: an output cannot leave the server.
        """
        parts: list[bytes] = []
        for name, array in response.outputs.items():
            if array.dtype in _LISTED_RAW:
                key = (name, array.dtype, array.shape)
                parts += (self._heads.get(key) or self._head(*key), array.tobytes())
            else:
                tensor = protos.serialize(encode_tensor(array, content=False))
                parts.append(write_field(0x0A, write_field(0x0A, name.encode()) + write_field(0x12, tensor)))
        parts.append(self._tails.get(response.target) or self._tail(response.target))
        return b"".join(parts)

    def _head(self, name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
        """All of an output but its values, which are the packed list at its end."""
        number = BY_NAME[dtype.name].number
        size = math.prod(shape) * dtype.itemsize
        dims = b"".join(write_field(0x12, b"\x08" + write_varint(length)) for length in shape)
        values = bytes([_PACKED[number]]) + write_varint(size) if size else b""
        tensor = b"\x08" + write_varint(number) + write_field(0x12, dims) + values
        before = write_field(0x0A, name.encode()) + b"\x12" + write_varint(len(tensor) + size) + tensor
        head = b"\x0a" + write_varint(len(before) + size) + before
        _keep(self._heads, (name, dtype, shape), head)
        return head

    def _tail(self, target: Target) -> bytes:
        proto = protos.PredictResponse()
        fill_spec(proto.model_spec, target)
        tail = protos.serialize(proto)
        _keep(self._tails, target, tail)
        return tail


def _keep(found: dict[Key, bytes], key: Key, value: bytes) -> None:
    if len(found) >= _HEADS_KEPT:
        found.clear()
    found[key] = value
