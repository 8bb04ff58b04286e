"""TensorProto to ndarray and back: every dtype a tensor can carry, as raw bytes or as typed value lists."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from toolkit.core.tensors import Array
from toolkit.errors import WireError
from toolkit.wire.dtypes import BY_NUMBER, WireDtype, dtype_of
from toolkit.wire.protos import Message, TensorProto
from toolkit.wire.varints import write_varint

# The last value repeats, so a few bytes may stand for a tensor of any size; this bounds what one may cost.
MAX_EXPANDED_BYTES = 1 << 30
_MAX_ELEMENTS = 2**63 - 1
_HALVES = frozenset({"float16", "bfloat16"})
_OPAQUE = frozenset({"resource", "variant"})


class TensorMap(Mapping[str, Array]):
    """Named TensorProtos as arrays, each decoded when it is asked for; what is no tensor raises WireError then.

    The server looks at the model, the signature and the names first, and answers for those before it looks at values.
    """

    def __init__(self, protos: Any) -> None:
        self._protos = protos
        self._arrays: dict[str, Array] = {}

    def __getitem__(self, name: str) -> Array:
        if name not in self._arrays:
            if name not in self._protos:  # a protobuf map would make the missing entry
                raise KeyError(name)
            self._arrays[name] = decode_tensor(self._protos[name])
        return self._arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._protos)

    def __len__(self) -> int:
        return len(self._protos)


def decode_tensor(proto: Message) -> Array:
    """The array of a TensorProto; as in TensorFlow, missing values repeat the last one, and surplus ones are dropped.

    Raises:
        WireError: the dtype, the shape or the content makes no tensor.
    """
    dtype = BY_NUMBER.get(proto.dtype)
    if dtype is None:
        raise WireError(f"no tensor has dtype {proto.dtype}", hint="set dtype to one of tensorflow's types.proto")
    shape = _shape(proto)
    count = math.prod(shape)
    try:
        if count == 0 or dtype.name in _OPAQUE:
            _check_expansion(0, count, dtype)
            return np.empty(shape, dtype.numpy)
        if proto.tensor_content:
            return _from_content(proto.tensor_content, dtype, count).reshape(shape)
        return _from_values(proto, dtype, count).reshape(shape)
    except (ValueError, MemoryError) as error:
        raise WireError(f"shape {list(shape)} is more than an array can have", hint="send fewer values") from error


def _shape(proto: Message) -> tuple[int, ...]:
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    count = 1
    for size in shape:
        # A product that overflows is refused even where a later 0 would undo it, as TensorFlow does.
        count *= size
        if size < 0 or count > _MAX_ELEMENTS:
            raise WireError(f"shape {list(shape)} is no shape", hint="sizes are 0 or more, their product below 2^63")
    return shape


def _from_content(content: bytes, dtype: WireDtype, count: int) -> Array:
    if dtype.name == "string":
        return _strings_from_content(content, count)
    if len(content) != count * dtype.numpy.itemsize:
        raise WireError(
            f"tensor_content has {len(content)} bytes; {count} of {dtype.word} take {count * dtype.numpy.itemsize}",
            hint="send the raw little-endian values of the whole shape",
        )
    # Any byte but 0 is true; NumPy compares bools by their bytes, so they are made 0 or 1.
    return np.frombuffer(content, np.uint8) != 0 if dtype.name == "bool" else np.frombuffer(content, dtype.numpy)


def _strings_from_content(content: bytes, count: int) -> Array:
    """TensorFlow writes all lengths as varints, then all bytes."""
    if count > len(content):
        raise WireError("tensor_content ends before the lengths of its strings", hint="use string_val")
    lengths, at = [], 0
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


def _from_values(proto: Message, dtype: WireDtype, count: int) -> Array:
    values = _values(getattr(proto, dtype.field), dtype)
    if len(values) >= count:
        return values[:count]
    _check_expansion(len(values), count, dtype)
    full = np.empty(count, dtype.numpy)
    full[: len(values)] = values
    if len(values):
        full[len(values) :] = values[-1]
    else:
        full[:] = b"" if dtype.name == "string" else np.zeros((), dtype.numpy)
    return full


def _check_expansion(given: int, count: int, dtype: WireDtype) -> None:
    if count * dtype.numpy.itemsize > MAX_EXPANDED_BYTES:
        raise WireError(f"{given} values cannot stand for {count}", hint="send the values as tensor_content")


def _values(listed: Any, dtype: WireDtype) -> Array:
    if dtype.name == "string":
        array = np.empty(len(listed), object)
        array[:] = listed
        return array
    if dtype.field == "float8_val":
        return np.frombuffer(listed, dtype.numpy)
    if dtype.name in _HALVES:
        return np.array(listed, np.int32).astype(np.uint16).view(dtype.numpy)
    if dtype.numpy.kind == "c":
        parts = np.array(listed, np.float32 if dtype.name == "complex64" else np.float64)
        return parts[: len(parts) // 2 * 2].view(dtype.numpy)
    if dtype.field == "int_val":
        held = dtype.numpy[dtype.name] if dtype.numpy.names else dtype.numpy
        return np.array(listed, np.int32).astype(held).view(dtype.numpy)
    return np.array(listed, dtype.numpy)


def encode_tensor(array: Array, *, content: bool) -> Message:
    """The TensorProto of an array, as tensor_content or as typed value lists."""
    proto = TensorProto()
    fill_tensor(proto, array, content=content)
    return proto


def fill_tensor(proto: Message, array: Array, *, content: bool) -> None:
    """Writes an array into an empty TensorProto that belongs to another message.

    Strings are always listed: not every reader finds them in tensor_content.
    """
    dtype = dtype_of(array)
    proto.dtype = dtype.number
    # Touching the shape marks it as present: a scalar's is empty but there.
    proto.tensor_shape.SetInParent()
    for size in array.shape:
        proto.tensor_shape.dim.add().size = size
    if dtype.name == "string":
        proto.string_val.extend(_texts(array))
    elif content:
        proto.tensor_content = array.astype(dtype.numpy, copy=False).tobytes()
    elif dtype.field == "float8_val":
        proto.float8_val = array.astype(dtype.numpy, copy=False).tobytes()
    elif dtype.name in _OPAQUE:
        raise WireError(f"{dtype.word} cannot leave the server", hint="return a tensor of numbers or text")
    else:
        getattr(proto, dtype.field).extend(_listed(array, dtype))


def fill_string_content(proto: Message, array: Array) -> None:
    """Writes strings as the server does when it was told to answer with tensor_content."""
    fill_tensor(proto, array[:0] if array.ndim else np.empty(0, object), content=False)
    del proto.tensor_shape.dim[:]
    for size in array.shape:
        proto.tensor_shape.dim.add().size = size
    items = _texts(array)
    proto.tensor_content = b"".join(write_varint(len(item)) for item in items) + b"".join(items)


def _texts(array: Array) -> list[bytes]:
    return [item if isinstance(item, bytes) else _text(item) for item in array.ravel().tolist()]


def _text(item: object) -> bytes:
    if isinstance(item, str):
        return item.encode("utf-8", "surrogateescape")
    raise WireError(f"a string tensor cannot hold {type(item).__name__}", hint="give text or bytes")


def _listed(array: Array, dtype: WireDtype) -> list[Any]:
    flat = np.ascontiguousarray(array, dtype.numpy).ravel()
    if dtype.name in _HALVES:
        flat = flat.view(np.uint16)
    elif dtype.numpy.kind == "c":
        flat = flat.view(np.float32 if dtype.name == "complex64" else np.float64)
    elif dtype.numpy.names:
        flat = flat[dtype.name]
    elif dtype.numpy.kind == "V":
        flat = flat.astype(np.int8)
    return flat.tolist()
