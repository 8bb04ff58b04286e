"""Predict's answer from arrays to bytes without protobuf objects, for the dtypes that most outputs have."""

import math
from typing import Any, TypeVar

import numpy as np

from toolkit.core.tensors import NUMPY_DTYPES
from toolkit.wire import protos
from toolkit.wire.dtypes import BY_NAME
from toolkit.wire.fast_predict import PACKED
from toolkit.wire.messages import PredictResponse, Target
from toolkit.wire.rpc import fill_spec
from toolkit.wire.tensor_proto import encode_tensor
from toolkit.wire.varints import write_field, write_varint

_LISTED_RAW = frozenset(kind for name, kind in NUMPY_DTYPES.items() if BY_NAME[name].number in PACKED)
_HEADS_KEPT = 1024  # clients choose some of what stands in them
Key = TypeVar("Key")


class PredictWriter:
    """Writes answers, and remembers what stands before and after the values. May be used from several threads."""

    def __init__(self) -> None:
        self._heads: dict[tuple[str, np.dtype[Any], tuple[int, ...]], bytes] = {}
        self._tails: dict[tuple[str, int | None, str | None, str], bytes] = {}

    def write(self, response: PredictResponse) -> bytes:
        """The bytes of an answer, outputs first, as the real server orders them.

        Raises:
            WireError: an output cannot leave the server.
        """
        parts: list[bytes] = []
        for name, array in response.outputs.items():
            if array.dtype in _LISTED_RAW:
                kind = (name, array.dtype, array.shape)
                parts += (self._heads.get(kind) or self._head(*kind), array.tobytes())
            else:
                tensor = protos.serialize(encode_tensor(array, content=False))
                parts.append(write_field(0x0A, write_field(0x0A, name.encode()) + write_field(0x12, tensor)))
        target = response.target
        # By its parts: a dataclass is hashed by code in Python.
        key = (target.model, target.version, target.label, target.signature)
        parts.append(self._tails.get(key) or self._tail(key))
        return b"".join(parts)

    def _head(self, name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
        """All of an output but its values, which are the packed list at its end."""
        number = BY_NAME[dtype.name].number
        size = math.prod(shape) * dtype.itemsize
        dims = b"".join(write_field(0x12, b"\x08" + write_varint(length)) for length in shape)
        values = bytes([PACKED[number]]) + write_varint(size) if size else b""
        tensor = b"\x08" + write_varint(number) + write_field(0x12, dims) + values
        before = write_field(0x0A, name.encode()) + b"\x12" + write_varint(len(tensor) + size) + tensor
        head = b"\x0a" + write_varint(len(before) + size) + before
        _keep(self._heads, (name, dtype, shape), head)
        return head

    def _tail(self, key: tuple[str, int | None, str | None, str]) -> bytes:
        proto = protos.PredictResponse()
        fill_spec(proto.model_spec, Target(*key))
        tail = protos.serialize(proto)
        _keep(self._tails, key, tail)
        return tail


def _keep(found: dict[Key, bytes], key: Key, value: bytes) -> None:
    if len(found) >= _HEADS_KEPT:
        found.clear()
    found[key] = value
