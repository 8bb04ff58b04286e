"""Writes an ONNX model and its large weights to disk, one weight after the other, so that memory holds one of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from toolkit.wire.varints import write_varint

# A protobuf message ends at 2 GB; from here on weights stand in a second file, `<file>.data`, that the first names.
EXTERNAL_BYTES = 1_500_000_000
# What stands beside: onnx.save_model's own threshold, and the alignment that onnx.proto asks for mapping into memory.
_SMALL_BYTES = 1024
_ALIGNMENT = 4096
_LENGTH_DELIMITED = 2


@dataclass(frozen=True)
class LargeWeight:
    """An initializer whose values are still the variable's.

    Args:
        name: the initializer's.
        variable: a tf.Variable.
        order: the variable's axes as the initializer has them.
    """

    name: str
    variable: Any
    order: tuple[int, ...]

    @property
    def size_bytes(self) -> int:
        """Size of its values."""
        return int(self.variable.shape.num_elements() * self.variable.dtype.size)

    def head(self) -> Any:
        """The onnx TensorProto without its values."""
        import numpy as np
        import onnx

        dtype = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(self.variable.dtype.as_numpy_dtype))
        return onnx.TensorProto(name=self.name, data_type=dtype, dims=[self.variable.shape[at] for at in self.order])

    def write(self, file: IO[bytes]) -> None:
        """Its values, in the order of rows; they are in memory only meanwhile."""
        import numpy as np

        array = np.ascontiguousarray(self.variable.numpy().transpose(self.order))
        file.write(array.reshape(-1).view(np.uint8).data)


def write_model(model: Any, weights: Sequence[LargeWeight], path: Path) -> None:
    """Writes an onnx ModelProto with these further initializers as one file, or as two where one cannot hold it."""
    own = sum(len(tensor.raw_data) for tensor in model.graph.initializer)
    if own + sum(weight.size_bytes for weight in weights) > EXTERNAL_BYTES:
        _write_two(model, weights, path)
    else:
        _write_one(model, weights, path)


def _write_one(model: Any, weights: Sequence[LargeWeight], path: Path) -> None:
    """The bytes that ModelProto.SerializeToString would give, whose lengths are known before the values are read."""
    graph = model.graph.SerializeToString()
    around = type(model).FromString(model.SerializeToString())
    around.ClearField("graph")
    openings = [_opening(weight) for weight in weights]
    size = len(graph) + sum(map(len, openings)) + sum(weight.size_bytes for weight in weights)
    with path.open("wb") as file:
        file.write(around.SerializeToString())
        file.write(bytes([_tag(model.GRAPH_FIELD_NUMBER)]) + write_varint(size) + graph)
        for opening, weight in zip(openings, weights, strict=True):
            file.write(opening)
            weight.write(file)


def _opening(weight: LargeWeight) -> bytes:
    """An initializer of a GraphProto up to where its values begin, which are its last field."""
    import onnx

    head = weight.head().SerializeToString()
    head += bytes([_tag(onnx.TensorProto.RAW_DATA_FIELD_NUMBER)]) + write_varint(weight.size_bytes)
    whole = write_varint(len(head) + weight.size_bytes)
    return bytes([_tag(onnx.GraphProto.INITIALIZER_FIELD_NUMBER)]) + whole + head


def _tag(field: int) -> int:
    return field << 3 | _LENGTH_DELIMITED


def _write_two(model: Any, weights: Sequence[LargeWeight], path: Path) -> None:
    name = f"{path.name}.data"
    with path.with_name(name).open("wb") as file:
        for tensor in model.graph.initializer:
            if len(tensor.raw_data) >= _SMALL_BYTES:
                content = tensor.raw_data
                tensor.ClearField("raw_data")
                _place(tensor, name, file, len(content))
                file.write(content)
        for weight in weights:
            tensor = model.graph.initializer.add()
            tensor.CopyFrom(weight.head())
            _place(tensor, name, file, weight.size_bytes)
            weight.write(file)
    path.write_bytes(model.SerializeToString())


def _place(tensor: Any, location: str, file: IO[bytes], size_bytes: int) -> None:
    """Says in the tensor where its values will be, and brings the file there."""
    file.write(bytes(-file.tell() % _ALIGNMENT))
    tensor.data_location = tensor.EXTERNAL
    for key, value in {"location": location, "offset": file.tell(), "length": size_bytes}.items():
        tensor.external_data.add(key=key, value=str(value))
