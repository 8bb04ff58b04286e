"""Every dtype a TensorProto can carry: its number, its words, its value list and how NumPy holds it."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import ml_dtypes
import numpy as np

from toolkit.core.tensors import NUMPY_DTYPES, Array
from toolkit.errors import WireError
from toolkit.wire.protos import DataType

_REF_OFFSET = 100


@dataclass(frozen=True, slots=True)
class WireDtype:
    """One dtype: toolkit's name, TensorFlow's number and word for it, the value list that holds it."""

    name: str
    number: int
    word: str
    field: str
    numpy: np.dtype[Any]

    @property
    def enumerator(self) -> str:
        """Its name in types.proto, as some of the server's messages print it."""
        return str(DataType.Name(self.number))


# Name, number's name, word in messages, value list. The names are toolkit's, and TensorFlow's where toolkit has none.
_ROWS = (
    ("float32", "DT_FLOAT", "float", "float_val"),
    ("float64", "DT_DOUBLE", "double", "double_val"),
    ("int32", "DT_INT32", "int32", "int_val"),
    ("uint8", "DT_UINT8", "uint8", "int_val"),
    ("int16", "DT_INT16", "int16", "int_val"),
    ("int8", "DT_INT8", "int8", "int_val"),
    ("string", "DT_STRING", "string", "string_val"),
    ("complex64", "DT_COMPLEX64", "complex64", "scomplex_val"),
    ("int64", "DT_INT64", "int64", "int64_val"),
    ("bool", "DT_BOOL", "bool", "bool_val"),
    ("bfloat16", "DT_BFLOAT16", "bfloat16", "half_val"),
    ("uint16", "DT_UINT16", "uint16", "int_val"),
    ("complex128", "DT_COMPLEX128", "complex128", "dcomplex_val"),
    ("float16", "DT_HALF", "half", "half_val"),
    ("uint32", "DT_UINT32", "uint32", "uint32_val"),
    ("uint64", "DT_UINT64", "uint64", "uint64_val"),
)
# No model of ours takes these, but a request may hold one, and the answer to it names the dtype. NumPy lacks them, so
# a quantized or opaque value hides in a structure that is named after it.
_FOREIGN = (
    *((name, "int_val", np.dtype([(name, kind)])) for name, kind in (("qint8", "i1"), ("quint8", "u1"))),
    *((name, "int_val", np.dtype([(name, kind)])) for name, kind in (("qint16", "i2"), ("quint16", "u2"))),
    ("qint32", "int_val", np.dtype([("qint32", "i4")])),
    ("resource", "resource_handle_val", np.dtype([("resource", "O")])),
    ("variant", "variant_val", np.dtype([("variant", "O")])),
    *((name, "int_val", np.dtype(getattr(ml_dtypes, name))) for name in ("int4", "uint4")),
    *(
        (name, "float8_val", np.dtype(getattr(ml_dtypes, name)))
        for name in ("float8_e5m2", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e4m3b11fnuz", "float8_e5m2fnuz")
    ),
)

BY_NUMBER: Mapping[int, WireDtype] = MappingProxyType(
    {
        dtype.number: dtype
        for dtype in (
            *(
                WireDtype(name, DataType.Value(key), word, field, NUMPY_DTYPES[name])
                for name, key, word, field in _ROWS
            ),
            *(
                WireDtype(name, DataType.Value(f"DT_{name.upper()}"), name, field, kind)
                for name, field, kind in _FOREIGN
            ),
        )
    }
)
BY_NAME: Mapping[str, WireDtype] = MappingProxyType({dtype.name: dtype for dtype in BY_NUMBER.values()})
_BY_NUMPY: Mapping[np.dtype[Any], WireDtype] = MappingProxyType({dtype.numpy: dtype for dtype in BY_NUMBER.values()})


def dtype_of(array: Array) -> WireDtype:
    """What an array is on the wire; text of any kind is a string.

    Raises:
        WireError: no tensor can hold such values.
    """
    found = _BY_NUMPY.get(array.dtype)
    if found is not None:
        return found
    if array.dtype.kind in "SUT":
        return BY_NAME["string"]
    native = _BY_NUMPY.get(array.dtype.newbyteorder("="))
    if native is None:
        raise WireError(f"no tensor has dtype {array.dtype}", hint=f"use one of {', '.join(NUMPY_DTYPES)}")
    return native


def dtype_word(number: int) -> str:
    """TensorFlow's word for a dtype's number, also for a reference to a variable and for a number it does not know."""
    if number == 0:
        return "INVALID"
    if number > _REF_OFFSET and number - _REF_OFFSET in BY_NUMBER:
        return f"{BY_NUMBER[number - _REF_OFFSET].word}_ref"
    known = BY_NUMBER.get(number)
    return known.word if known is not None else f"unknown dtype enum ({number})"


def plain_number(number: int) -> int:
    """The dtype behind a reference to a variable: what such an output holds when it is read."""
    return number - _REF_OFFSET if number > _REF_OFFSET else number
