"""Reads a large ONNX file without its weights, so that its graph can be checked in little memory."""

from collections.abc import Iterator
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any, NamedTuple

from toolkit.wire.varints import read_varint

# Files up to here are read as they are.
LARGE_BYTES = 64 * 1024**2
# An initializer of this size is no shape, axis or scale, which the checks of a graph would look at.
_WEIGHT_BYTES = 1024**2
# protobuf.dev/programming-guides/encoding: bytes after a field's tag, by wire type; other types say it themselves.
_VARINT, _LENGTH_DELIMITED = 0, 2
_FIXED_BYTES = {1: 8, 5: 4}


class _Field(NamedTuple):
    """Where a field stands in a message: its tag, its content and its end."""

    number: int
    start: int
    content: int
    end: int


def outline(path: Path) -> Any:
    """The onnx ModelProto of a file in which each large initializer is an input of its dtype and shape.

    Raises:
        ValueError: it is no protobuf message, or cut off.
    """
    import onnx

    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
        around, graph, weights = [], [], []
        for field in _fields(content, 0, len(content)):
            if field.number != onnx.ModelProto.GRAPH_FIELD_NUMBER:
                around.append(content[field.start : field.end])
                continue
            for part in _fields(content, field.content, field.end):
                large = part.end - part.content > _WEIGHT_BYTES
                if large and part.number == onnx.GraphProto.INITIALIZER_FIELD_NUMBER:
                    weights.append(_head(content, part))
                else:
                    graph.append(content[part.start : part.end])
    model = onnx.ModelProto.FromString(b"".join(around))
    model.graph.MergeFromString(b"".join(graph))
    for weight in weights:
        model.graph.input.append(onnx.helper.make_tensor_value_info(weight.name, weight.data_type, list(weight.dims)))
    return model


def _head(content: mmap, tensor: _Field) -> Any:
    """A TensorProto without its values."""
    import onnx

    parts = (content[part.start : part.end] for part in _fields(content, tensor.content, tensor.end) if _short(part))
    return onnx.TensorProto.FromString(b"".join(parts))


def _short(field: _Field) -> bool:
    return field.end - field.content <= _WEIGHT_BYTES


def _fields(content: mmap, start: int, end: int) -> Iterator[_Field]:
    at = start
    try:
        while at < end:
            tag, value = read_varint(content, at)
            kind = tag & 7
            if kind == _VARINT:
                _, stop = read_varint(content, value)
            elif kind == _LENGTH_DELIMITED:
                size, value = read_varint(content, value)
                stop = value + size
            else:
                stop = value + _FIXED_BYTES[kind]
            yield _Field(tag >> 3, at, value, stop)
            at = stop
    except (IndexError, KeyError):
        at = end + 1
    if at != end:
        raise ValueError("it is no protobuf message, or cut off")
