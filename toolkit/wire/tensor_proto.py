"""TensorProto to ndarray and back: every dtype a tensor can carry, as raw bytes or as typed value lists."""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from toolkit.core.tensors import NUMPY_DTYPES, Array, dtype_name
from toolkit.errors import WireError
from toolkit.wire.protos import DataType, Message, TensorProto

ENUM_OF_DTYPE: Mapping[str, int] = MappingProxyType(
    {
        name: DataType.Value(f"DT_{wire_name}")
        for name, wire_name in (
            *((name, name.upper()) for name in NUMPY_DTYPES if name not in ("float16", "float32", "float64")),
            *(("float16", "HALF"), ("float32", "FLOAT"), ("float64", "DOUBLE")),
        )
    }
)
DTYPE_OF_ENUM: Mapping[int, str] = MappingProxyType({number: name for name, number in ENUM_OF_DTYPE.items()})

_FIELDS: Mapping[str, str] = MappingProxyType(
    {
        "float32": "float_val",
        "float64": "double_val",
        "int64": "int64_val",
        "uint64": "uint64_val",
        "uint32": "uint32_val",
        "bool": "bool_val",
        "complex64": "scomplex_val",
        "complex128": "dcomplex_val",
        "string": "string_val",
        "float16": "half_val",
        "bfloat16": "half_val",
    }
    | dict.fromkeys(("int32", "int16", "int8", "uint16", "uint8"), "int_val")
)
# The last value repeats, so a few bytes may stand for a tensor of any size; this bounds what one may cost.
MAX_EXPANDED_BYTES = 1 << 30


def decode_tensor(proto: Message) -> Array:
    """The array of a TensorProto; as in TensorFlow, missing values repeat the last one, and surplus ones are dropped.

    Raises:
        WireError: the dtype, the shape or the content makes no tensor.
    """
    name = DTYPE_OF_ENUM.get(proto.dtype)
    if name is None:
        raise WireError(
            f"no tensor has dtype {proto.dtype}", hint="use a dtype of tensorflow/core/framework/types.proto"
        )
    shape = _shape(proto)
    count = math.prod(shape)
    if count == 0:
        return np.empty(shape, NUMPY_DTYPES[name])
    if proto.tensor_content:
        return _from_content(proto.tensor_content, name, count).reshape(shape)
    values = _values(proto, name)
    if len(values) < count:
        values = _repeat_last(values, count)
    return values[:count].reshape(shape)


def _shape(proto: Message) -> tuple[int, ...]:
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    if proto.tensor_shape.unknown_rank or any(size < 0 for size in shape):
        raise WireError("a tensor's shape has to be fully known", hint="every dimension is 0 or more")
    if len(shape) > 64 or math.prod(size for size in shape if size) > 2**48:
        raise WireError(f"shape {list(shape)} is too large", hint="send fewer values")
    return shape


def _from_content(content: bytes, name: str, count: int) -> Array:
    if name == "string":
        return _strings_from_content(content, count)
    dtype = NUMPY_DTYPES[name]
    if len(content) != count * dtype.itemsize:
        raise WireError(
            f"tensor_content has {len(content)} bytes, {count} values of {name} take {count * dtype.itemsize}",
            hint="send the raw little-endian values of the whole shape",
        )
    # Any byte but 0 is true for NumPy's kernels too, but not for its comparisons: make bools canonical.
    return np.frombuffer(content, np.uint8) != 0 if name == "bool" else np.frombuffer(content, dtype)


def _strings_from_content(content: bytes, count: int) -> Array:
    """TensorFlow writes all lengths as varints, then all bytes."""
    lengths, at = [], 0
    if count > len(content):
        raise WireError("tensor_content ends before the lengths of its strings", hint="use string_val")
    for _ in range(count):
        length, shift = 0, 0
        while True:
            if at >= len(content) or shift > 28:
                raise WireError("tensor_content has a broken string length", hint="use string_val")
            byte = content[at]
            at, length, shift = at + 1, length | (byte & 127) << shift, shift + 7
            if byte < 128:
                break
        lengths.append(length)
    if at + sum(lengths) != len(content):
        raise WireError("tensor_content does not hold the strings that its lengths say", hint="use string_val")
    array = np.empty(count, object)
    for index, length in enumerate(lengths):
        array[index] = content[at : at + length]
        at += length
    return array


def _values(proto: Message, name: str) -> Array:
    field = getattr(proto, _FIELDS[name])
    if name == "string":
        array = np.empty(len(field), object)
        array[:] = field
        return array
    if name in ("float16", "bfloat16"):
        return np.array(field, np.int32).astype(np.uint16).view(NUMPY_DTYPES[name])
    if name.startswith("complex"):
        part = np.array(field, np.float32 if name == "complex64" else np.float64)
        return part[: len(part) // 2 * 2].view(NUMPY_DTYPES[name])
    if _FIELDS[name] == "int_val":
        return np.array(field, np.int32).astype(NUMPY_DTYPES[name])
    return np.array(field, NUMPY_DTYPES[name])


def _repeat_last(values: Array, count: int) -> Array:
    if count * max(values.dtype.itemsize, 1) > MAX_EXPANDED_BYTES:
        raise WireError(f"{len(values)} values cannot stand for {count}", hint="send the values as tensor_content")
    full = np.empty(count, values.dtype)
    full[: len(values)] = values
    if len(values):
        full[len(values) :] = values[-1]
    else:
        full[:] = b"" if values.dtype == object else np.zeros((), values.dtype)
    return full


def encode_tensor(array: Array, *, content: bool) -> Message:
    """The TensorProto of an array, as tensor_content or as typed value lists; strings are always listed."""
    proto = TensorProto()
    fill_tensor(proto, array, content=content)
    return proto


def fill_tensor(proto: Message, array: Array, *, content: bool) -> None:
    """Writes an array into an empty TensorProto that belongs to another message."""
    name = dtype_name(array.dtype)
    proto.dtype = ENUM_OF_DTYPE[name]
    # Touching the shape marks it as present: a scalar's is empty but there.
    proto.tensor_shape.SetInParent()
    for size in array.shape:
        proto.tensor_shape.dim.add().size = size
    if name == "string":
        proto.string_val.extend(array.ravel().tolist())
    elif content:
        proto.tensor_content = array.tobytes()
    else:
        getattr(proto, _FIELDS[name]).extend(_as_listed(array, name))


def _as_listed(array: Array, name: str) -> list[Any]:
    flat = np.ascontiguousarray(array).ravel()
    if name in ("float16", "bfloat16"):
        return flat.view(np.uint16).tolist()
    if name == "complex64":
        return flat.view(np.float32).tolist()
    if name == "complex128":
        return flat.view(np.float64).tolist()
    return flat.tolist()
