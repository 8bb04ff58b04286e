"""Ops on complex, ragged, sparse and random tensors, on matrices and boxes, by the rewrite that mends them."""

from typing import Any

import numpy as np
import tensorflow as tf

from tests.formats.rewrites.one_op import Case

TFLITE, ONNX = ("tflite",), ("onnx",)
TABLE = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)


def spectra(x: Any) -> Any:
    spectrum = tf.signal.rfft(x)
    turned = spectrum * tf.complex(0.5, 0.2) + tf.math.conj(spectrum) / tf.complex(1.0, 2.0)
    return {
        "parts": tf.concat([tf.math.real(turned), tf.math.imag(turned)], -1),
        "size": tf.abs(spectrum),
        "angle": tf.math.angle(turned + tf.complex(9.0, 9.0)),
        "back": tf.signal.irfft(turned),
        "longer": tf.abs(tf.signal.rfft(x, [15])),
        "full": tf.abs(tf.signal.ifft(tf.signal.fft(tf.cast(x, tf.complex64)) * 2.0)),
        "plane": tf.abs(tf.signal.fft2d(tf.cast(tf.reshape(x, (-1, 3, 4)), tf.complex64))),
        "real_plane": tf.abs(tf.signal.rfft2d(tf.reshape(x, (-1, 3, 4)))),
        "cosines": tf.signal.dct(x),
        "wave": tf.math.real(tf.exp(tf.complex(x, x * 2.0))),
    }


def positive(x: Any) -> Any:
    square = tf.reshape(x, (-1, 3, 3))
    return square, tf.matmul(square, square, transpose_b=True) + tf.eye(3)


def linear_systems(x: Any) -> Any:
    square, definite = positive(x)
    factor = tf.linalg.cholesky(definite)
    right = square[..., :2]
    return {
        "factor": factor,
        "solved": tf.linalg.solve(definite, right),
        "adjoint": tf.linalg.solve(definite + square, right, adjoint=True),
        "inverse": tf.linalg.inv(definite),
        "determinant": tf.linalg.det(square),
        "log": tf.linalg.logdet(definite),
        "sign": tf.linalg.slogdet(square)[0],
        "lower": tf.linalg.triangular_solve(factor, right),
        "upper": tf.linalg.triangular_solve(factor, right, adjoint=True),
        "swapped": tf.linalg.inv(tf.constant([[0.0, 1.0], [2.0, 0.0]])) + 0.0 * x[0, 0],
    }


def orthogonal(x: Any) -> Any:
    square, definite = positive(x)
    basis, upper = tf.linalg.qr(square[..., :2])
    whole, _ = tf.linalg.qr(square[..., :2], full_matrices=True)
    return {
        "basis": basis,
        "upper": upper,
        "whole": whole[..., :2],
        "eigenvalues": tf.linalg.eigvalsh(definite),
        "singular": tf.linalg.svd(square, compute_uv=False),
        "of_wide": tf.linalg.svd(square[:, :2], compute_uv=False),
        "of_diagonal": tf.linalg.eigvalsh(tf.linalg.diag(x[:, :3])),
    }


def diagonals(x: Any) -> Any:
    square = tf.reshape(x, (-1, 3, 3))
    return {
        "put": tf.linalg.diag(x),
        "taken": tf.linalg.diag_part(square),
        "of_wide": tf.linalg.diag_part(square[:, :2]),
        "of_tall": tf.linalg.diag_part(square[:, :, :2]),
        "eye": tf.eye(2, batch_shape=[tf.shape(x)[0]]) * x[:, :1, None],
        "tensor": tf.linalg.tensor_diag(x[0]),
        "cross": tf.linalg.cross(x[:, :3], x[:, 3:6]),
    }


def philox(x: Any) -> Any:
    shape = tf.shape(x)
    seed = tf.cast(x[0, :2] * 1e6, tf.int32)
    return {
        "uniform": tf.random.stateless_uniform(shape, [1, 2]),
        "normal": tf.random.stateless_normal(shape, seed),
        "whole": tf.random.stateless_uniform((7,), seed, -3, 10, tf.int32),
        "long_seed": tf.random.stateless_uniform((3,), tf.constant([1 << 40, -5], tf.int64)),
        "between": tf.random.stateless_uniform((5,), [3, 4], -2.0, 5.0),
    }


def ragged(x: Any) -> Any:
    some = tf.ragged.boolean_mask(x, x > 0.3)
    lengths = tf.cast(tf.abs(x[:, 0]) * 2.0, tf.int64)
    deep = tf.RaggedTensor.from_row_lengths(some, tf.ones_like(lengths))
    by_row = tf.RaggedTensor.from_value_rowids(x[0], tf.constant([0, 0, 2, 2], tf.int64), nrows=4)
    return {
        "padded": some.to_tensor(9.0),
        "cut": some.to_tensor(shape=(None, 2)),
        "deep": deep.to_tensor(),
        "by_row": by_row.to_tensor(),
        "range": tf.ragged.range(lengths).to_tensor(),
        "backwards": tf.ragged.range(lengths, tf.constant(-2, tf.int64), tf.constant(-2, tf.int64)).to_tensor(-7),
        "gathered": tf.gather(some, [0, 0]).to_tensor(),
        "joined": tf.concat([some, some], 1).to_tensor(),
    }


def sparse(x: Any) -> Any:
    some = tf.sparse.from_dense(tf.nn.relu(x))
    filled, empty = tf.sparse.fill_empty_rows(some, 9.0)
    return {
        "product": tf.sparse.sparse_dense_matmul(some, TABLE),
        "sum": tf.sparse.reduce_sum(some, 1),
        "folded": tf.sparse.to_dense(tf.sparse.reshape(some, [-1, 2])),
        "filled": tf.sparse.to_dense(filled),
        "empty": empty,
    }


def boxes(x: Any) -> Any:
    corner, side = tf.sigmoid(x[..., :2]) * 0.5, tf.sigmoid(x[..., 2:4]) * 0.5
    places = tf.concat([corner, corner + side], -1)
    suppress = tf.image.combined_non_max_suppression
    shared = suppress(places[:, :, None], tf.sigmoid(x[..., 4:]), 3, 5, 0.3, 0.4)
    own = suppress(tf.stack([places, 1.0 - places], 2), x[..., 4:], 4, 9, 0.5, clip_boxes=False, pad_per_class=True)
    return {
        f"{name}_{key}": value for name, found in (("a", shared), ("b", own)) for key, value in found._asdict().items()
    }


def integers(x: Any) -> Any:
    whole = tf.cast(x * 10.0, tf.int32)
    return {
        "remainder": whole % 3,
        "of_negative": whole % -3,
        "quotient": whole // 3,
        "long": tf.cast(whole, tf.int64) * 1000003 % 1000,
        "of_floats": x % 0.7,
        "whole_of_floats": x // 0.7,
        "places": tf.math.invert_permutation(tf.argsort(x[0])),
    }


def doubles(x: Any) -> Any:
    wide = tf.cast(x, tf.float64)
    kernel = tf.constant(np.ones((3, 1, 2)))
    return {"waves": tf.cast(tf.nn.conv1d(tf.tanh(wide)[:, :, None], kernel, 1, "SAME"), tf.float32)}


def halves(x: Any) -> Any:
    # Whole numbers and sums of few of them have no rounding that the dtypes could differ in.
    small = tf.cast(tf.round(x), tf.bfloat16)
    return {"sum": tf.cast(tf.nn.relu(small) + tf.constant(2.0, tf.bfloat16) * small, tf.float32)}


def inside(x: Any) -> Any:
    def root(row: Any) -> Any:
        square = tf.reshape(row, (3, 3))
        return tf.linalg.inv(square + 5.0 * tf.eye(3))

    small = tf.reduce_max(x) < 0.1
    return {
        "inverses": tf.map_fn(root, x),
        "chosen": tf.cond(small, lambda: tf.linalg.det(tf.reshape(x, (-1, 3, 3))), lambda: x[:, 0]),
    }


MORE_CASES = (
    Case("spectra", spectra, (12,), tolerance=1e-5),
    Case("linear_systems", linear_systems, (9,), tolerance=3e-4),
    Case("linear_systems", inside, (9,), tolerance=1e-5),
    Case("orthogonal", orthogonal, (9,), tolerance=1e-5),
    Case("diagonals", diagonals, (9,)),
    Case("philox", philox),
    Case("ragged", ragged),
    Case("sparse", sparse),
    Case("boxes", boxes, (8, 6), needed=TFLITE),
    Case("integers", integers, needed=()),
    Case("floats", doubles, needed=TFLITE),
    Case("half_floats", halves, needed=()),
)
