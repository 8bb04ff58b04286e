"""What a loop's body adds up: sums of products of its inputs with matrices that no step changes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_SAME = {"Identity", "EnsureShape", "StopGradient", "PreventGradient", "Snapshot"}
_SUMS = {"Add", "AddV2", "BiasAdd"}


@dataclass(frozen=True)
class Matrix:
    """What a source is multiplied with: [rows, columns]; without `values` it puts the source at a column.

    Args:
        values: a tensor of the new graph.
        at: the source's first column where there are no values.
        columns: how many columns there are.
    """

    values: Any
    columns: int
    at: int = 0


@dataclass(frozen=True)
class Affine:
    """sum(source @ matrix) + bias.

    Args:
        parts: source to its matrix.
        bias: a tensor of the new graph, [columns]; None is zero.
        columns: how many columns the sum has.
    """

    columns: int
    parts: Mapping[Any, Matrix] = field(default_factory=dict)
    bias: Any = None


@dataclass(frozen=True)
class AffineReader:
    """Reads tensors of a body.

    Args:
        source: tensor to the key of the source that it is, or None.
        constant: tensor to the tensor of the new graph that it is in every step, or None.
    """

    source: Callable[[Any], Any]
    constant: Callable[[Any], Any]

    def read(self, tensor: Any) -> Affine | None:
        """The sum that a tensor [rows, columns] is; None where it is no such sum."""
        op, columns = tensor.op, tensor.shape[-1] if tensor.shape.rank else None
        key = self.source(tensor)
        if key is not None:
            return None if columns is None else Affine(columns, {key: Matrix(None, columns)})
        constant = self.constant(tensor)
        if constant is not None:
            return Affine(constant.shape[0], bias=constant) if constant.shape.rank == 1 else None
        if op.type in _SAME:
            return self.read(op.inputs[0])
        if op.type in _SUMS:
            return self._sum(op)
        reader = {
            "MatMul": self._product,
            "Split": self._split,
            "StridedSlice": self._slice,
            "ConcatV2": self._concat,
        }.get(op.type)
        return None if reader is None else reader(op, tensor.value_index)

    def _sum(self, op: Any) -> Affine | None:
        left, right = (self.read(part) for part in op.inputs)
        if left is None or right is None or left.columns != right.columns:
            return None
        parts = dict(left.parts)
        for key, matrix in right.parts.items():
            if key in parts and (parts[key].values is None or matrix.values is None):
                return None
            parts[key] = Matrix(parts[key].values + matrix.values, left.columns) if key in parts else matrix
        biases = [one.bias for one in (left, right) if one.bias is not None]
        return Affine(left.columns, parts, sum(biases[1:], biases[0]) if biases else None)

    def _product(self, op: Any, _: int) -> Affine | None:
        import tensorflow as tf

        left, right = self.read(op.inputs[0]), self.constant(op.inputs[1])
        if left is None or right is None or right.shape.rank != 2 or op.get_attr("transpose_a"):
            return None
        weights = tf.transpose(right) if op.get_attr("transpose_b") else right
        columns = weights.shape[1]
        if columns is None or left.columns != weights.shape[0]:
            return None

        def times(matrix: Matrix, rows: int) -> Matrix:
            if matrix.values is not None:
                return Matrix(matrix.values @ weights, columns)
            return Matrix(weights if rows == left.columns else weights[matrix.at : matrix.at + rows], columns)

        bias = None if left.bias is None else tf.linalg.matvec(weights, left.bias, transpose_a=True)
        return Affine(columns, {key: times(part, self._rows(key, part)) for key, part in left.parts.items()}, bias)

    def _rows(self, key: Any, matrix: Matrix) -> int:
        return int(key.columns) if matrix.values is None else int(matrix.values.shape[0])

    def _split(self, op: Any, at: int) -> Affine | None:
        axis, whole = self._number(op.inputs[0]), self.read(op.inputs[1])
        if whole is None or axis not in (-1, 1):
            return None
        width = whole.columns // int(op.get_attr("num_split"))
        return _columns(whole, at * width, (at + 1) * width)

    def _slice(self, op: Any, _: int) -> Affine | None:
        """`x[:, a:b]`, and nothing else."""
        whole, bounds = self.read(op.inputs[0]), [_known(part) for part in op.inputs[1:]]
        masks = [op.get_attr(name) for name in ("new_axis_mask", "shrink_axis_mask", "ellipsis_mask")]
        if whole is None or any(masks) or any(bound is None or len(bound) != 2 for bound in bounds):
            return None
        first, last, strides = bounds
        begin, end = op.get_attr("begin_mask"), op.get_attr("end_mask")
        if not (begin & end & 1) or list(strides) != [1, 1]:
            return None
        start = slice(None if begin & 2 else int(first[1]), None if end & 2 else int(last[1]))
        return _columns(whole, *start.indices(whole.columns)[:2])

    def _concat(self, op: Any, _: int) -> Affine | None:
        parts = [self.read(part) for part in op.inputs[:-1]]
        if self._number(op.inputs[-1]) not in (-1, 1):
            return None
        found: dict[Any, Matrix] = {}
        at, total = 0, int(sum(part.columns for part in parts if part is not None))
        for part in parts:
            plain = part is not None and part.bias is None and len(part.parts) == 1
            if part is None or not plain:
                return None
            ((key, matrix),) = part.parts.items()
            if matrix.values is not None or matrix.at or key in found:
                return None
            found[key] = Matrix(None, total, at)
            at += part.columns
        return Affine(total, found)

    def _number(self, tensor: Any) -> int | None:
        found = _known(tensor)
        return None if found is None else int(found)


def _known(tensor: Any) -> Any:
    import tensorflow as tf

    return tf.get_static_value(tensor)


def _columns(whole: Affine, start: int, stop: int) -> Affine | None:
    if any(matrix.values is None for matrix in whole.parts.values()):
        return None
    parts = {key: Matrix(matrix.values[:, start:stop], stop - start) for key, matrix in whole.parts.items()}
    return Affine(stop - start, parts, None if whole.bias is None else whole.bias[start:stop])


def joined(gates: Sequence[Affine], key: Any, width: int) -> Any:
    """The matrices of one source, side by side: [rows, gates x width]; zeros where a gate does not look at it."""
    import tensorflow as tf

    def values(gate: Affine) -> Any:
        if key not in gate.parts:
            return tf.zeros([key.columns, width])
        found = gate.parts[key].values
        return tf.eye(width) if found is None else found

    return tf.concat([values(gate) for gate in gates], 1)


def joined_bias(gates: Sequence[Affine], width: int) -> Any:
    """The biases side by side: [gates x width]."""
    import tensorflow as tf

    return tf.concat([tf.zeros([width]) if gate.bias is None else gate.bias for gate in gates], 0)
