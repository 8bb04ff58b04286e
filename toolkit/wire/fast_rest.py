"""The usual :predict body to a request: one tensor of numbers, whose text becomes an array without Python's numbers.

What stands around the numbers and how the lists nest is remembered of a body that was read in full; one that differs in
its numbers alone has the same shape and means the same. Every other body is read in full again.
"""

import threading
from collections.abc import Mapping
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

    def array(self, numbers: bytes) -> Array | None:
        """The numbers of a body; None where only reading in full says what they are."""
        letter, wide = _READ_AS[self.dtype]
        try:
            array: Array = np.frombuffer(_parser().parse(numbers).as_buffer(of_type=letter), wide)
        except (ValueError, TypeError, RuntimeError):
            return None  # no JSON, a number that is not of this kind, or nested too deep: the full reader has the words
        if self.dtype == "int32" and array.size:
            low, high = BOUNDS[self.dtype]
            if int(array.min()) < low or int(array.max()) > high:
                return None
        if self.dtype != wide.__name__:
            # What is too large for a float32 becomes Infinity, silently, as in the server.
            with np.errstate(over="ignore"):
                array = array.astype(self.dtype)
        try:
            # As many numbers as there are places for them, of which each holds one at most: no list is empty or short.
            return array.reshape(self.shape)
        except ValueError:
            return None


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
        form: where it is known, `feed` gives what bodies of this form were bound to before.
        layout: what its answer takes; known once it is bound or fed.
        key: None where it has no list.
    """

    reader: "NumbersReader"
    target: Target
    body: bytes
    key: Key | None = None
    numbers: bytes = b""
    form: Form | None = None
    inner: PredictBody | None = None
    layout: Layout = Layout.COLUMNS

    def feed(self) -> dict[str, Array] | None:
        """The inputs of a body of a known form; None where only reading in full says what they are."""
        form = self.form
        if form is None:
            return None
        array = form.array(self.numbers)
        self.layout = form.layout
        return None if array is None else {form.name: array}

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
        return Body(self, target, body, key, numbers, form)

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
        form = self._forms[key] = Form(target, name, dtype, array.shape, layout)
        return form
