"""REST: outputs to the body of a :predict answer, in rows or in columns, and back."""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from toolkit.core.tensors import Array, Outputs
from toolkit.errors import WireError
from toolkit.wire.dtypes import dtype_of
from toolkit.wire.json_arrays import leaves, quick, to_array
from toolkit.wire.json_reader import may_hold_bools, read_json_object
from toolkit.wire.json_writer import cell_texts, encode_text, nested, quote
from toolkit.wire.messages import PredictResponse, Target
from toolkit.wire.rest_predict import Layout
from toolkit.wire.signatures import ServedSignature, TensorInfo

_PREDICTIONS = "predictions"
_OUTPUTS = "outputs"
_BYTES_SUFFIX = "_bytes"
_NUMBERS = "fiub"
_FEW = 1024


def encode_predict_response(outputs: Outputs, layout: Layout) -> bytes:
    """What a server answers to :predict.

    Raises:
        WireError: the outputs cannot be written in that layout; in the server's words.
    """
    if not outputs:
        raise WireError("Cannot convert empty tensor map to JSON", hint="the signature has no outputs")
    text = _usual_text(outputs, layout)
    if text is None:
        text = _rows_text(outputs) if layout is Layout.ROWS else _columns_text(outputs)
    return encode_text(text)


def encode_predict_responses(outputs: Outputs, layout: Layout, count: int) -> list[bytes]:
    """What a server answers to so many :predict calls, whose rows lie below each other in the outputs.

    Raises:
        WireError: the outputs cannot be written in that layout; in the server's words.
    """
    if len(outputs) == 1:
        (array,) = outputs.values()
        size = array.size // count
        if 0 < size <= _FEW and array.dtype.kind in _NUMBERS:
            blank = _blank((len(array) // count, *array.shape[1:]), layout)
            cells = cell_texts(array, as_bytes=False, depth=0)
            return [(blank % tuple(cells[at : at + size])).encode() for at in range(0, array.size, size)]
    rows = {name: len(array) // count for name, array in outputs.items()}
    parts = (
        {name: array[at * rows[name] : (at + 1) * rows[name]] for name, array in outputs.items()} for at in range(count)
    )
    return [encode_predict_response(part, layout) for part in parts]


def _usual_text(outputs: Outputs, layout: Layout) -> str | None:
    """The text of one small output of numbers, filled into what is the same for all of its shape; else None."""
    if len(outputs) != 1:
        return None
    (array,) = outputs.values()
    if not 0 < array.size <= _FEW or not array.ndim or array.dtype.kind not in _NUMBERS:
        return None
    return _blank(array.shape, layout) % tuple(cell_texts(array, as_bytes=False, depth=0))


@lru_cache(maxsize=512)
def _blank(shape: tuple[int, ...], layout: Layout) -> str:
    # An output that is alone stands without its name.
    alone = {"": np.zeros(shape, np.bool_)}
    text = _rows_text(alone) if layout is Layout.ROWS else _columns_text(alone)
    return text.replace("false", "%s")


def _rows_text(outputs: Outputs) -> str:
    count = _common_rows(outputs)
    alone = len(outputs) == 1
    depth = 2 if alone else 3
    columns = {name: _row_texts(name, array, depth) for name, array in outputs.items()}
    if not count:
        return f'{{\n    "{_PREDICTIONS}": []\n}}'
    if alone:
        return f'{{\n    "{_PREDICTIONS}": [{", ".join(next(iter(columns.values())))}\n    ]\n}}'
    rows = (
        ",\n".join(f"            {quote(name)}: {texts[row]}" for name, texts in columns.items())
        for row in range(count)
    )
    listed = ",".join(f"\n        {{\n{row}\n        }}" for row in rows)
    return f'{{\n    "{_PREDICTIONS}": [{listed}\n    ]\n}}'


def _common_rows(outputs: Outputs) -> int:
    count = -1
    for name, array in outputs.items():
        if not array.ndim:
            raise WireError(f"Tensor name: {name} has no shape information ", hint="ask for columns with 'inputs'")
        if count >= 0 and len(array) != count:
            raise WireError(
                f"Tensor name: {name} has inconsistent batch size: {len(array)} expecting: {count}",
                hint="ask for columns with 'inputs'",
            )
        count = len(array)
    return count


def _row_texts(name: str, array: Array, depth: int) -> list[str]:
    shape = array.shape[1:]
    cells = cell_texts(array, as_bytes=_is_bytes(name, array), depth=depth + len(shape))
    size = math.prod(shape)
    return [nested(cells[at * size : (at + 1) * size], shape, depth, one_line=True) for at in range(len(array))]


def _columns_text(outputs: Outputs) -> str:
    if len(outputs) == 1:
        ((name, array),) = outputs.items()
        return f'{{\n    "{_OUTPUTS}": {_column_text(name, array, 1)}\n}}'
    columns = ",\n".join(f"        {quote(name)}: {_column_text(name, array, 2)}" for name, array in outputs.items())
    return f'{{\n    "{_OUTPUTS}": {{\n{columns}\n    }}\n}}'


def _column_text(name: str, array: Array, depth: int) -> str:
    cells = cell_texts(array, as_bytes=_is_bytes(name, array), depth=depth + array.ndim)
    return nested(cells, array.shape, depth, one_line=False)


def _is_bytes(name: str, array: Array) -> bool:
    return name.endswith(_BYTES_SUFFIX) and dtype_of(array).name == "string"


def decode_predict_response(target: Target, signature: ServedSignature, body: bytes) -> PredictResponse:
    """What a client reads in the answer of :predict; the names and dtypes are those of the signature's metadata.

    Raises:
        WireError: the body is no answer of that signature.
    """
    document = read_json_object(body)
    names = tuple(signature.outputs)
    columns: dict[str, Any]
    if _OUTPUTS in document:
        columns = {names[0]: document[_OUTPUTS]} if len(names) == 1 else document[_OUTPUTS]
    elif isinstance(document.get(_PREDICTIONS), list):
        columns = _columns_of(document[_PREDICTIONS], names)
    else:
        raise WireError("the answer has neither outputs nor predictions", hint="check what the peer speaks")
    if not isinstance(columns, dict) or set(columns) != set(names):
        raise WireError(f"the answer does not hold the outputs {', '.join(names)}", hint="ask for the metadata again")
    bools = may_hold_bools(body)
    outputs = {name: _output(name, columns[name], signature.outputs[name], bools=bools) for name in names}
    return PredictResponse(target, outputs)


def _columns_of(rows: Sequence[Any], names: Sequence[str]) -> dict[str, Any]:
    if len(names) == 1:
        return {names[0]: rows}
    if not all(isinstance(row, dict) and row.keys() == set(names) for row in rows):
        raise WireError(f"the answer's rows do not hold {', '.join(names)}", hint="ask for the metadata again")
    return {name: [row[name] for row in rows] for name in names}


def _output(name: str, value: Any, info: TensorInfo, *, bools: bool) -> Array:
    try:
        array = quick(value, info, bools=bools)
        array = array if array is not None else to_array(name, leaves(value, info), info)
    except WireError as error:
        raise WireError(f"output '{name}': {error.message}", hint="ask for the metadata again") from error
    if not array.size and info.shape is not None and array.ndim < len(info.shape):
        # JSON ends at the first empty list; the signature knows the dimensions behind it.
        return array.reshape(*array.shape, *(dim or 0 for dim in info.shape[array.ndim :]))
    return array
