"""REST: the body of a :predict request, in rows or in columns, to a message and back."""

import base64
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import numpy as np
import orjson

from toolkit.core.tensors import Array
from toolkit.errors import WireError
from toolkit.wire import wording
from toolkit.wire.codes import CODE_OF_FAULT
from toolkit.wire.dtypes import dtype_of
from toolkit.wire.json_arrays import READABLE, Leaves, is_base64_object, leaves, quick, to_array
from toolkit.wire.json_reader import may_hold_bools, read_exactly, read_json_object, shows_fraction
from toolkit.wire.json_scanner import as_c_string, members
from toolkit.wire.json_writer import debug_text
from toolkit.wire.messages import PredictRequest, Target
from toolkit.wire.signatures import ServedSignature, TensorInfo

_SIGNATURE = "signature_name"
_INSTANCES = "instances"
_INPUTS = "inputs"


class Layout(Enum):
    """How a body holds tensors: an object for each row, or an array for each tensor."""

    ROWS = "rows"
    COLUMNS = "columns"


@dataclass(frozen=True, slots=True)
class PredictBody:
    """A body that was read as JSON; what it means depends on the signature it names.

    Args:
        target: the request's target with the body's signature.
        document: the JSON object.
        bools: whether the text may hold true or false.
        body: the text.
    """

    target: Target
    document: dict[str, Any]
    bools: bool
    body: bytes

    def bind(self, signatures: Mapping[str, ServedSignature]) -> tuple[PredictRequest, Layout]:
        """The request that the body is for the model's signature, and the layout that its answer takes.

        Raises:
            ServingError: the model has no such signature; in the server's words.
            WireError: the body does not fit the signature; in the server's words.
        """
        try:
            return self._bound(signatures)
        except WireError as error:
            if not shows_fraction(error):
                raise
        return replace(self, document=read_exactly(self.document, self.body))._bound(signatures)

    def _bound(self, signatures: Mapping[str, ServedSignature]) -> tuple[PredictRequest, Layout]:
        name = self.target.signature_name
        if name not in signatures:
            raise wording.rest_signature_missing(name)
        inputs = signatures[name].inputs
        if not inputs:
            raise WireError(
                f"Failed to get input map for signature: {self.target.signature or 'DEFAULT'}",
                hint="a signature without inputs answers over gRPC only",
            )
        layout = self._layout()
        tensors = _Rows(self, inputs).tensors() if layout is Layout.ROWS else self._columns(inputs)
        return PredictRequest(self.target, tensors), layout

    def _layout(self) -> Layout:
        document = self.document
        if _INSTANCES in document and _INPUTS in document:
            problem = "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist "
            raise _misformed(document, problem)
        if _INSTANCES in document:
            if not isinstance(document[_INSTANCES], list):
                raise _misformed(document, "Expecting 'instances' to be an list/array")
            if not document[_INSTANCES]:
                raise _misformed(document, "No values in 'instances' array")
            return Layout.ROWS
        if _INPUTS in document:
            return Layout.COLUMNS
        raise WireError("Missing 'inputs' or 'instances' key", hint="send one of them")

    def _columns(self, inputs: Mapping[str, TensorInfo]) -> dict[str, Array]:
        value = self.document[_INPUTS]
        if not isinstance(value, dict) or is_base64_object(value):
            if len(inputs) > 1:
                raise WireError(
                    "inputs is a plain value/list, but expecting an object as multiple input tensors required "
                    "as per tensorinfo_map",
                    hint=f"send an object of {', '.join(inputs)}",
                )
            name, info = next(iter(inputs.items()))
            return {name: self._dense(name, value, info)}
        tensors = {}
        for name, info in inputs.items():
            if name not in value:
                raise WireError(f"Missing named input: {name} in 'inputs' object.", hint=f"send '{name}'")
            tensors[name] = self._dense(name, value[name], info)
        return tensors

    def _dense(self, name: str, value: Any, info: TensorInfo) -> Array:
        array = quick(value, info, bools=self.bools)
        return array if array is not None else to_array(name, leaves(value, info), info)


def decode_predict_request(target: Target, body: bytes) -> PredictBody:
    """What a server reads in the body of :predict; its tensors wait for the signature.

    Raises:
        WireError: the body is no JSON object; in the server's words.
    """
    document = read_json_object(body)
    return PredictBody(
        replace(target, signature=read_signature_name(document, body)), document, may_hold_bools(body), body
    )


def read_signature_name(document: dict[str, Any], body: bytes) -> str:
    """The signature that a body names; empty for the default one.

    Raises:
        WireError: it is no text; in the server's words.
    """
    name = document.get(_SIGNATURE, "")
    if not isinstance(name, str):
        raise _misformed(
            read_exactly(document, body), "not formatted correctly. 'signature_name' key must be a string value."
        )
    return name


def _misformed(document: dict[str, Any], problem: str) -> WireError:
    return WireError(f"JSON Value: {debug_text(document)} {problem}", hint="send instances or inputs")


class _Rows:
    """The rows of one body, gathered into a tensor for each input."""

    def __init__(self, body: PredictBody, inputs: Mapping[str, TensorInfo]) -> None:
        self.instances: list[Any] = body.document[_INSTANCES]
        self.bools = body.bools
        self.inputs = inputs
        self.found: dict[str, Leaves] = {}

    def tensors(self) -> dict[str, Array]:
        first = self.instances[0]
        if not isinstance(first, dict) and len(self.inputs) > 1:
            raise WireError(
                "instances is a plain list, but expecting list of objects as multiple input tensors required "
                "as per tensorinfo_map",
                hint=f"send objects of {', '.join(self.inputs)}",
            )
        named = _is_row_object(first)
        arrays = self.quickly(named=named)
        return arrays if arrays is not None else self.one_by_one(named=named)

    def quickly(self, *, named: bool) -> dict[str, Array] | None:
        columns: dict[str, Sequence[Any]] = {next(iter(self.inputs)): self.instances}
        if named:
            names = self.inputs.keys()
            # A name that stands twice adds its values twice, so such rows are gathered one by one.
            if not all(type(row) is dict and row.keys() == names for row in self.instances):
                return None
            columns = {name: [row[name] for row in self.instances] for name in names}
        arrays: dict[str, Array] = {}
        for name, column in columns.items():
            array = quick(column, self.inputs[name], bools=self.bools)
            if array is None:
                return None
            arrays[name] = array
        return arrays

    def one_by_one(self, *, named: bool) -> dict[str, Array]:
        for index, row in enumerate(self.instances):
            if _is_row_object(row) != named:
                problem = "object but got list" if named else "value/list but got object"
                raise WireError(f"Expecting {problem} at item {index} of input list", hint="make all rows alike")
            if named:
                self.add_named(index, row)
            else:
                self.add_plain(index, row)
        arrays = {}
        for name, (values, shape) in self.found.items():
            arrays[name] = to_array(name, Leaves(values, (len(self.instances), *shape)), self.inputs[name])
        return arrays

    def add_named(self, index: int, row: dict[str, Any]) -> None:
        named = [(as_c_string(name), value) for name, value in members(row)]
        for name, value in named:
            try:
                self.add(name, value)
            except WireError as error:
                raise _in_row(f"{index} key: {name}", error) from error
        if dict(named).keys() != self.inputs.keys():
            raise WireError(
                f"Failed to process element: {index} of 'instances' list. JSON object: {debug_text(row)} "
                f"keys must be equal to: {','.join(sorted(self.inputs))}",
                hint="give every row every input",
            )

    def add_plain(self, index: int, row: Any) -> None:
        try:
            self.add(next(iter(self.inputs)), row)
        except WireError as error:
            raise _in_row(str(index), error) from error

    def add(self, name: str, value: Any) -> None:
        if name not in self.inputs:
            raise WireError(f"JSON object: does not have named input: {name}", hint=f"send {', '.join(self.inputs)}")
        values, shape = leaves(value, self.inputs[name])
        if name not in self.found:
            self.found[name] = Leaves(values, shape)
            return
        size, wanted = math.prod(self.found[name].shape), self.found[name].shape
        if len(values) != size:
            raise WireError(f"Expecting tensor size: {size} but got: {len(values)}", hint="make all rows alike")
        if shape != wanted:
            raise WireError(
                f"Expecting shape {_shape_text(wanted)} but got: {_shape_text(shape)}", hint="make all rows alike"
            )
        self.found[name].values.extend(values)


def _is_row_object(value: Any) -> bool:
    return isinstance(value, dict) and not is_base64_object(value)


def _in_row(where: str, error: WireError) -> WireError:
    return WireError(
        f"Failed to process element: {where} of 'instances' list. "
        f"Error: {CODE_OF_FAULT[error.fault].name}: {error.message}",
        hint=error.hint,
    )


def _shape_text(shape: Sequence[int]) -> str:
    return f"[{','.join(map(str, shape))}]"


def encode_predict_request(request: PredictRequest) -> bytes:
    """What a client sends to :predict, in columns, which hold tensors of any shape.

    Raises:
        WireError: JSON cannot carry an array's dtype.
    """
    named = b",".join(orjson.dumps(name) + b":" + tensor_json(array) for name, array in request.feed.items())
    signature = b""
    if request.target.signature:
        signature = orjson.dumps(_SIGNATURE) + b":" + orjson.dumps(request.target.signature) + b","
    return b"{" + signature + orjson.dumps(_INPUTS) + b":{" + named + b"}}"


def tensor_json(array: Array) -> bytes:
    """An array as the JSON that a server takes for it.

    Raises:
        WireError: JSON cannot carry its dtype.
    """
    dtype = dtype_of(array)
    if dtype.name == "string":
        return orjson.dumps(_base64_objects(array.tolist()))
    if dtype.name not in READABLE:
        raise WireError(f"JSON cannot carry {dtype.word}", hint="use grpc://")
    if dtype.numpy.kind == "f" and not np.isfinite(array).all():
        return json.dumps(array.tolist()).encode()
    if not array.ndim:
        return orjson.dumps(array.item())
    return orjson.dumps(np.ascontiguousarray(array, dtype.numpy), option=orjson.OPT_SERIALIZE_NUMPY)


def _base64_objects(value: Any) -> Any:
    if isinstance(value, list):
        return [_base64_objects(item) for item in value]
    data = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
    return {"b64": base64.b64encode(data).decode()}
