"""QR factors, eigenvalues and singular values of small matrices, written out as reflections and rotations."""

import itertools
from collections.abc import Sequence
from typing import Any

from toolkit.formats.rewrites.replacing import replacing
from toolkit.formats.rewrites.retrace import Replacement, Step

MOST_ROWS = 16
# A sweep takes each pair of columns once. Jacobi's rotations converge quadratically: after these float32 cannot tell.
MOST_COLUMNS, SWEEPS = 6, 7


def _dims(matrix: Any) -> tuple[int, int] | None:
    rank = matrix.shape.rank
    rows, columns = matrix.shape[-2:] if rank is not None and rank >= 2 else (None, None)
    return None if rows is None or columns is None else (rows, columns)


def _qr(step: Step) -> Sequence[Any] | None:
    import tensorflow as tf

    (matrix,), dims = step.inputs, _dims(step.inputs[0])
    if dims is None or max(dims) > MOST_ROWS:
        return None
    rows, columns = dims
    least = min(rows, columns)
    basis = tf.eye(rows, dtype=matrix.dtype) + tf.zeros_like(matrix[..., :, :1])
    for at in range(min(rows - 1, columns)):
        vector = _reflector(matrix, at)
        matrix -= 2.0 * vector * tf.reduce_sum(vector * matrix, -2, keepdims=True)
        turned = tf.linalg.matrix_transpose(vector)
        basis -= 2.0 * tf.reduce_sum(basis * turned, -1, keepdims=True) * turned
    upper = tf.linalg.band_part(tf.ones((rows, columns), matrix.dtype), 0, -1) * matrix
    return [basis, upper] if step.attr("full_matrices") else [basis[..., :least], upper[..., :least, :]]


def _reflector(matrix: Any, at: int) -> Any:
    """Householder's unit vector for a column; its sign is LAPACK's and Eigen's, which keeps the factors the same."""
    import tensorflow as tf

    column = matrix[..., at:, at : at + 1]
    head, tail = column[..., :1, :], column[..., 1:, :]
    length = tf.sqrt(tf.reduce_sum(column * column, -2, keepdims=True))
    vector = tf.concat([head + tf.where(head >= 0.0, length, -length), tail], -2)
    size = tf.sqrt(tf.reduce_sum(vector * vector, -2, keepdims=True))
    # A column that is zero below its head is left as it is.
    flat = tf.reduce_sum(tf.abs(tail), -2, keepdims=True) <= 0.0
    vector = tf.where(flat, tf.constant(0.0, matrix.dtype), vector / tf.where(flat, tf.constant(1.0), size))
    return tf.pad(vector, [[0, 0]] * (matrix.shape.rank - 2) + [[at, 0], [0, 0]])


def _rotation(app: Any, aqq: Any, apq: Any) -> tuple[Any, Any]:
    """Cosine and sine of the rotation that makes `apq` zero (Golub and Van Loan, Matrix Computations, 8.5.2)."""
    import tensorflow as tf

    none = tf.equal(apq, 0.0)
    slope = (aqq - app) / (2.0 * tf.where(none, tf.constant(1.0, apq.dtype), apq))
    tangent = tf.where(slope >= 0.0, 1.0, -1.0) / (tf.abs(slope) + tf.sqrt(1.0 + slope * slope))
    tangent = tf.where(none, tf.constant(0.0, apq.dtype), tangent)
    cosine = tf.math.rsqrt(1.0 + tangent * tangent)
    return cosine, tangent * cosine


def _rotated(columns: list[Any], one: int, other: int, cosine: Any, sine: Any) -> None:
    columns[one], columns[other] = (
        cosine * columns[one] - sine * columns[other],
        sine * columns[one] + cosine * columns[other],
    )


def _eigenvalues(step: Step) -> Sequence[Any] | None:
    import tensorflow as tf

    (matrix,), dims = step.inputs, _dims(step.inputs[0])
    # An eigenvector may as well be its own opposite: nothing says which one a runtime should give.
    if dims is None or dims[0] > MOST_COLUMNS or step.attr("compute_v"):
        return None
    count = dims[0]
    # Only the lower half is to be read.
    lower = tf.linalg.band_part(tf.ones((count, count), matrix.dtype), -1, 0)
    strict = lower - tf.eye(count, dtype=matrix.dtype)
    matrix = matrix * lower + tf.linalg.matrix_transpose(matrix * strict)
    for _, (one, other) in itertools.product(range(SWEEPS), itertools.combinations(range(count), 2)):
        pair = [matrix[..., a : a + 1, b : b + 1] for a, b in ((one, one), (other, other), (one, other))]
        cosine, sine = _rotation(*pair)
        for _ in range(2):  # from the right, and as the matrix is symmetric, from the left
            columns = tf.split(matrix, count, -1)
            _rotated(columns, one, other, cosine, sine)
            matrix = tf.linalg.matrix_transpose(tf.concat(columns, -1))
    values = tf.concat([matrix[..., at, at : at + 1] for at in range(count)], -1)
    return [_ascending(values), None]


def _ascending(values: Any) -> Any:
    import tensorflow as tf

    return -tf.math.top_k(-values, values.shape[-1])[0]


def _singular(step: Step) -> Sequence[Any] | None:
    import tensorflow as tf

    (matrix,), dims = step.inputs, _dims(step.inputs[0])
    if dims is None or min(dims) > MOST_COLUMNS or step.attr("compute_uv"):
        return None
    if dims[0] < dims[1]:
        matrix = tf.linalg.matrix_transpose(matrix)
    count = min(dims)
    columns = tf.split(matrix, count, -1)
    for _, (one, other) in itertools.product(range(SWEEPS), itertools.combinations(range(count), 2)):
        left, right = columns[one], columns[other]
        sums = [tf.reduce_sum(product, -2, keepdims=True) for product in (left * left, right * right, left * right)]
        cosine, sine = _rotation(*sums)
        _rotated(columns, one, other, cosine, sine)
    lengths = [tf.sqrt(tf.reduce_sum(column * column, -2)) for column in columns]
    return [tf.math.top_k(tf.concat(lengths, -1), count)[0], None, None]


TABLE: dict[str, Replacement] = {"Qr": _qr, "SelfAdjointEigV2": _eigenvalues, "Svd": _singular}
REWRITE = replacing("orthogonal", ("tflite", "onnx"), TABLE, "reflections and rotations written out for this size")
