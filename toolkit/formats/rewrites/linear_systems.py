"""Factors, solutions, inverses and determinants of small matrices, written out step by step."""

from collections.abc import Sequence
from typing import Any

from toolkit.formats.rewrites.replacing import replacing
from toolkit.formats.rewrites.retrace import Replacement, Step

# Each row takes about a dozen ops.
MOST_ROWS = 32


def _size(matrix: Any) -> int | None:
    """The rows of a matrix that is small enough to be written out."""
    rows = matrix.shape[-2] if matrix.shape.rank is not None and matrix.shape.rank >= 2 else None
    return rows if rows is not None and 0 < rows <= MOST_ROWS else None


def _cholesky(step: Step) -> Sequence[Any] | None:
    rows = _size(step.inputs[0])
    return None if rows is None else [cholesky(step.inputs[0], rows)]


def cholesky(matrix: Any, rows: int) -> Any:
    """The lower factor, a column at a time; NaN where the matrix is not positive definite."""
    import tensorflow as tf

    columns: list[Any] = []
    for at in range(rows):
        column = matrix[..., at:, at : at + 1]
        for done in columns:
            column -= done[..., at:, :] * done[..., at : at + 1, :]
        column /= tf.sqrt(column[..., :1, :])
        paddings = [[0, 0]] * (matrix.shape.rank - 2) + [[at, 0], [0, 0]]
        columns.append(tf.pad(column, paddings))
    return tf.concat(columns, -1)


def _triangular(step: Step) -> Sequence[Any] | None:
    import tensorflow as tf

    matrix, right = step.inputs
    rows = _size(matrix)
    if rows is None:
        return None
    lower = step.attr("lower")
    if step.attr("adjoint"):
        matrix, lower = tf.linalg.matrix_transpose(matrix), not lower
    found: dict[int, Any] = {}
    for at in range(rows) if lower else reversed(range(rows)):
        row = right[..., at : at + 1, :]
        for done, value in found.items():
            row -= matrix[..., at : at + 1, done : done + 1] * value
        found[at] = row / matrix[..., at : at + 1, at : at + 1]
    return [tf.concat([found[at] for at in range(rows)], -2)]


def _eliminated(matrix: Any, rows: int) -> tuple[Any, list[Any], Any]:
    """Gauss and Jordan's elimination with the greatest pivot of each column: (result, pivots, sign of the swaps).

    The first `rows` columns become the identity, and what stands right of them the solution.
    """
    import tensorflow as tf

    eye = tf.eye(rows, dtype=matrix.dtype)
    pivots = []
    sign = tf.ones_like(matrix[..., 0, 0])
    for at in range(rows):
        place = tf.argmax(tf.abs(matrix[..., at:, at]), -1, output_type=tf.int32) + at
        chosen = tf.one_hot(place, rows, dtype=matrix.dtype)
        sign = tf.where(tf.equal(place, at), sign, -sign)
        # Two rows change places by a reflection: what the difference of their unit vectors has is turned round.
        swap = tf.expand_dims(eye[at] - chosen, -1)
        matrix -= swap * tf.reduce_sum(swap * matrix, -2, keepdims=True)
        row = matrix[..., at : at + 1, :]
        pivot = row[..., at : at + 1]
        pivots.append(pivot[..., 0, 0])
        row /= pivot
        factors = matrix[..., at : at + 1] * tf.reshape(1.0 - eye[at], (rows, 1))
        unit = tf.reshape(eye[at], (rows, 1))
        matrix = (matrix - factors * row) * (1.0 - unit) + unit * row
    return matrix, pivots, sign


def _solved(matrix: Any, right: Any, rows: int) -> Any:
    import tensorflow as tf

    return _eliminated(tf.concat([matrix, right], -1), rows)[0][..., rows:]


def _solve(step: Step) -> Sequence[Any] | None:
    import tensorflow as tf

    matrix, right = step.inputs
    rows = _size(matrix)
    if rows is None:
        return None
    return [_solved(tf.linalg.matrix_transpose(matrix) if step.attr("adjoint") else matrix, right, rows)]


def _inverse(step: Step) -> Sequence[Any] | None:
    import tensorflow as tf

    (matrix,) = step.inputs
    rows = _size(matrix)
    if rows is None:
        return None
    matrix = tf.linalg.matrix_transpose(matrix) if step.attr("adjoint") else matrix
    return [_solved(matrix, tf.eye(rows, dtype=matrix.dtype) + tf.zeros_like(matrix), rows)]


def _determinant(step: Step) -> Sequence[Any] | None:
    rows = _size(step.inputs[0])
    if rows is None:
        return None
    _, pivots, value = _eliminated(step.inputs[0], rows)
    for pivot in pivots:
        value *= pivot
    return [value]


def _log_determinant(step: Step) -> Sequence[Any] | None:
    import tensorflow as tf

    rows = _size(step.inputs[0])
    if rows is None:
        return None
    _, pivots, sign = _eliminated(step.inputs[0], rows)
    for pivot in pivots:
        sign *= tf.sign(pivot)
    return [sign, tf.add_n([tf.math.log(tf.abs(pivot)) for pivot in pivots])]


TABLE: dict[str, Replacement] = {
    "Cholesky": _cholesky,
    "MatrixTriangularSolve": _triangular,
    "MatrixSolve": _solve,
    "MatrixInverse": _inverse,
    "MatrixDeterminant": _determinant,
    "LogMatrixDeterminant": _log_determinant,
}
REWRITE = replacing("linear_systems", ("tflite", "onnx"), TABLE, "its steps written out for a matrix of this size")
