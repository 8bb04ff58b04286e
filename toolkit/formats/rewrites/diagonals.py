"""Diagonals taken out of matrices and put into them, where a format cannot or forgets a batch of one."""

from collections.abc import Sequence
from typing import Any

from toolkit.formats.rewrites.replacing import replacing
from toolkit.formats.rewrites.retrace import Replacement, Step


def _main(step: Step, at: int) -> bool:
    """Whether it is about the main diagonal."""
    k = step.tracing.folder.value(step.inputs[at])
    return k is not None and not k.any()


def _same(rows: Any, columns: Any) -> Any:
    import tensorflow as tf

    return tf.equal(tf.expand_dims(tf.range(rows), 1), tf.expand_dims(tf.range(columns), 0))


def _size(tensor: Any, axis: int) -> Any:
    import tensorflow as tf

    return tf.shape(tensor)[axis] if tensor.shape[axis] is None else tensor.shape[axis]


def _part(step: Step) -> Sequence[Any] | None:
    import tensorflow as tf

    matrix = step.inputs[0]
    rows, columns = matrix.shape[-2:] if matrix.shape.rank is not None else (None, None)
    if not _main(step, 1) or rows is None or columns is None:
        return None
    kept = tf.where(_same(rows, columns), matrix, tf.constant(0, matrix.dtype))
    shorter, axis = (rows, -2) if rows <= columns else (columns, -1)
    return [tf.reduce_sum(kept, -1 if axis == -2 else -2)] if shorter else None


def _matrix(step: Step) -> Sequence[Any] | None:
    import tensorflow as tf

    diagonal, _, rows, columns, padding = step.inputs
    sizes = [step.tracing.folder.value(value) for value in (rows, columns)]
    if not _main(step, 1) or any(value is None or int(value) != -1 for value in sizes):
        return None
    length = _size(diagonal, -1)
    return [tf.where(_same(length, length), tf.expand_dims(diagonal, -1), padding)]


def _tensor(step: Step) -> Sequence[Any] | None:
    import tensorflow as tf

    (diagonal,) = step.inputs
    if diagonal.shape.rank != 1:
        return None
    length = _size(diagonal, 0)
    return [tf.where(_same(length, length), tf.expand_dims(diagonal, -1), tf.constant(0, diagonal.dtype))]


def _cross(step: Step) -> Sequence[Any]:
    import tensorflow as tf

    (a, b, c), (d, e, f) = (tf.unstack(tensor, 3, -1) for tensor in step.inputs)
    return [tf.stack([b * f - c * e, c * d - a * f, a * e - b * d], -1)]


TABLE: dict[str, Replacement] = {"MatrixDiagPartV3": _part, "MatrixDiagV3": _matrix, "Diag": _tensor, "Cross": _cross}
REWRITE = replacing("diagonals", ("tflite", "onnx"), TABLE, "choices by index")
