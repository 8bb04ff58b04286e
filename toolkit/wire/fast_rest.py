"""The usual :predict body to a request: one tensor of numbers, whose text becomes an array without Python's numbers.

What stands around the numbers and how the lists nest is remembered of a body that was read in full; one that differs in
its numbers alone has the same shape and means the same. Every other body is read in full again.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import simdjson

from toolkit.core.tensors import Array, Feed
from toolkit.wire.dtypes import dtype_of
from toolkit.wire.json_arrays import BOUNDS
from toolkit.wire.messages import PredictRequest, Target
from toolkit.wire.rest_predict import Layout, PredictBody, decode_predict_request
from toolkit.wire.signatures import ServedSignature

# What numbers and the space between them are made of; a word or a text leaves letters or quotes behind.
_NUMBERS = b"0123456789.eE+- \t\r\n"
_LISTS = b"[],"
# simdjson's letter for a buffer of doubles or of int64, and NumPy's dtype of it.
_READ_AS: Mapping[str, tuple[str, Any]] = {
    "float32": ("d", np.float64),
    "float64": ("d", np.float64),
    "int32": ("i", np.int64),
    "int64": ("i", np.int64),
}
_LONGEST_FORM, _ALL_FORMS = 1 << 20, 1 << 23  # bytes


class Key(NamedTuple):
    """What finds a form: the model, and the body without its numbers."""

    model: str
    before: bytes
    lists: bytes
    behind: bytes


@dataclass(frozen=True, slots=True, eq=False)
class Form:
    """What is the same in all bodies that differ in their numbers alone.

    Each is itself alone, so that what belongs to it is found by its identity.

    Args:
        target: of the request, with the body's signature.
        name: the input that the numbers are.
    """

    target: Target
    name: str
    dtype: str
    shape: tuple[int, ...]
    layout: Layout
    size: int

    @property
    def rows(self) -> int:
        """Of each tensor; 0 where it has no rows."""
        return self.shape[0] if self.shape else 0

    def read(self, numbers: bytes) -> Array | None:
        """The numbers of a body, flat and wide; None where only reading in full says what they are."""
        letter, wide = _READ_AS[self.dtype]
        try:
            found: Array = np.frombuffer(_parser().parse(numbers).as_buffer(of_type=letter), wide)
        except (ValueError, TypeError, RuntimeError):
            return None  # no JSON, a number that is not of this kind, or nested too deep: the full reader has the words
        # As many numbers as there are places for them, of which each holds one at most: no list is empty or short.
        return found if found.size == self.size else None

    def tensor(self, numbers: Sequence[Array]) -> Array | None:
        """What was read of one body, or of several with their rows below each other; None as above."""
        wide = numbers[0] if len(numbers) == 1 else np.concatenate(numbers)
        if self.dtype == "int32" and wide.size:
            low, high = BOUNDS[self.dtype]
            if int(wide.min()) < low or int(wide.max()) > high:
                return None
        # What is too large for a float32 becomes Infinity, silently, as in the server.
        with np.errstate(over="ignore"):
            array = wide.astype(self.dtype, copy=False)
        return array.reshape((len(numbers) * self.shape[0], *self.shape[1:]) if len(numbers) > 1 else self.shape)


_own = threading.local()


def _parser() -> Any:
    # It keeps its memory from one text to the next, so two threads must not share one.
    try:
        return _own.parser
    except AttributeError:
        _own.parser = simdjson.Parser()
        return _own.parser


@dataclass(slots=True, eq=False)
class Body:
    """The body of one :predict; its tensors wait for the signature.

    Args:
        target: the request's target.
        layout: what its answer takes; known once it is bound, or with its form.
        key: None where it has no list.
        form: what it has in common with a body that was bound before.
        numbers: what it has of its own, with a form; None where only reading in full says what they are.
    """

    reader: "NumbersReader"
    target: Target
    body: bytes
    key: Key | None = None
    form: Form | None = None
    numbers: Array | None = None
    inner: PredictBody | None = None
    layout: Layout = Layout.COLUMNS

    def feed(self) -> dict[str, Array] | None:
        """The inputs of a body of a known form; None where only reading in full says what they are."""
        return feed_of((self,))

    def bind(self, signatures: Mapping[str, ServedSignature]) -> PredictRequest:
        """The request that the body is for the model's signature.

        Raises:
            ToolkitError: the body does not fit the signature; in the server's words.
        """
        if self.form is not None and _suits(self.form, signatures.get(self.form.target.signature_name)):
            feed: Feed | None = self.feed()
            if feed is not None:
                return PredictRequest(self.form.target, feed)
        inner = self.inner or decode_predict_request(self.target, self.body)
        request, self.layout = inner.bind(signatures)
        if self.key is not None:
            self.form = self.reader.learn(self.key, request, self.layout)
        return request


def feed_of(bodies: Sequence[Body]) -> dict[str, Array] | None:
    """The inputs of bodies of one form, their rows below each other; None where one of them has to be read in full."""
    form, numbers = bodies[0].form, [body.numbers for body in bodies if body.numbers is not None]
    if form is None or len(numbers) < len(bodies):
        return None
    array = form.tensor(numbers)
    return None if array is None else {form.name: array}


def _suits(form: Form, signature: ServedSignature | None) -> bool:
    if signature is None or len(signature.inputs) != 1 or form.name not in signature.inputs:
        return False
    return signature.inputs[form.name].dtype == form.dtype


@dataclass
class NumbersReader:
    """Reads bodies; may be used from several threads."""

    _forms: dict[Key, Form] = field(default_factory=dict)
    _held_bytes: int = 0

    def read(self, target: Target, body: bytes) -> Body:
        """What a server reads in the body of :predict.

        Raises:
            WireError: the body is no JSON object; in the server's words.
        """
        begin, end = body.find(b"["), body.rfind(b"]") + 1
        if begin < 0 or end <= begin:
            return Body(self, target, body, inner=decode_predict_request(target, body))
        numbers = body[begin:end]
        key = Key(target.model, body[:begin], numbers.translate(None, _NUMBERS), body[end:])
        form = self._forms.get(key)
        if form is None:
            return Body(self, target, body, key, inner=decode_predict_request(target, body))
        return Body(self, target, body, key, form, form.read(numbers), layout=form.layout)

    def learn(self, key: Key, request: PredictRequest, layout: Layout) -> Form | None:
        """Remembers the form of a body that was read in full; None where that is no usual one."""
        if len(request.feed) != 1 or key.lists.translate(None, _LISTS):
            return None  # a text, a word or an object stands among the numbers
        ((name, array),) = request.feed.items()
        dtype, size = dtype_of(array).name, sum(map(len, key))
        if not array.size or size > _LONGEST_FORM or dtype not in _READ_AS:
            return None
        if self._held_bytes + size > _ALL_FORMS:
            self._forms.clear()
            self._held_bytes = 0
        self._held_bytes += size
        target = replace(request.target, version=None, label=None)
        form = self._forms[key] = Form(target, name, dtype, array.shape, layout, array.size)
        return form
