"""Ragged and sparse inputs, boxes, and what picks, sorts, scatters and contracts by index."""

from typing import Any

import numpy as np
import tensorflow as tf

from tests.zoo.specimen import Specimen, floats, seeded
from toolkit import ModelSpec, TensorSpec

TABLE = np.random.default_rng(4).normal(size=(8, 3)).astype(np.float32)


def ragged_sum(rows: Any) -> Any:
    return {"sum": tf.reduce_sum(rows, 1), "padded": rows.to_tensor(0.0, shape=(None, 5))}


def ragged_embedding(tokens: Any) -> Any:
    vectors = tf.ragged.map_flat_values(lambda at: tf.gather(TABLE, at), tokens)
    return {"mean": tf.reduce_sum(vectors, 1) / tf.cast(tokens.row_lengths(), tf.float32)[:, None]}


def no_row_is_empty(batch_size: int, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 5, batch_size)
    splits = np.concatenate([[0], np.cumsum(lengths)])
    return {"tokens_values": rng.integers(0, 8, splits[-1]), "tokens_row_splits": splits}


def sparse_product(counts: Any) -> Any:
    return {"product": tf.sparse.sparse_dense_matmul(counts, TABLE), "dense": tf.sparse.to_dense(counts)}


def boxes(batch_size: int, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 0.6, (batch_size, 12, 2))
    sides = rng.uniform(0.1, 0.4, (batch_size, 12, 2))
    scores = rng.uniform(0, 1, (batch_size, 12, 3))
    return {"boxes": np.concatenate([corners, corners + sides], 2), "scores": scores}


def one_image(batch_size: int, seed: int) -> dict[str, Any]:
    made = boxes(1, seed)
    return {"boxes": made["boxes"][0], "scores": made["scores"][0, :, 0]}


def suppressed(boxes: Any, scores: Any) -> Any:
    kept = tf.image.non_max_suppression(boxes, scores, 6, 0.4, 0.2)
    return {"boxes": tf.gather(boxes, kept), "scores": tf.gather(scores, kept), "kept": kept}


def suppressed_by_class(boxes: Any, scores: Any) -> Any:
    found = tf.image.combined_non_max_suppression(boxes[:, :, None], scores, 4, 8, 0.4, 0.2)
    return found._asdict()


def top_k(x: Any, k: Any) -> Any:
    values, at = tf.math.top_k(x, k)
    return {"values": values, "at": at, "order": tf.argsort(x, direction="DESCENDING"), "sorted": tf.sort(x)}


class Einsums(tf.Module):
    """Contractions with a repeated index, an ellipsis and more than two operands."""

    def __init__(self) -> None:
        super().__init__()
        self.core = tf.Variable(np.random.default_rng(6).normal(size=(3, 4, 5)).astype(np.float32))

    def __call__(self, left: Any, right: Any) -> Any:
        return {
            "bilinear": tf.einsum("bi,ijk,bk->bj", left, self.core, right),
            "outer": tf.einsum("bi,bk->bik", left, right),
            "trace": tf.einsum("bii->b", left[:, :, None] * left[:, None, :]),
            "rows": tf.einsum("...i,ijk->...jk", left, self.core),
        }


def scattered(at: Any, x: Any) -> Any:
    flat = at[:, :, None]
    total = tf.scatter_nd(tf.reshape(flat, (-1, 1)), tf.reshape(x, (-1,)), (8,))
    added = tf.tensor_scatter_nd_add(tf.ones((8,)), tf.reshape(flat, (-1, 1)), tf.reshape(x, (-1,)))
    picked = tf.gather(TABLE, at)
    return {"total": total, "added": added, "picked": picked, "of_row": tf.gather(x, at % 4, batch_dims=1)}


def segments(x: Any) -> Any:
    ids = tf.constant([0, 0, 2, 1, 2, 0])
    turned = tf.transpose(x)
    return {
        "sum": tf.math.unsorted_segment_sum(turned, ids, 4),
        "max": tf.math.unsorted_segment_max(turned, ids, 3),
        "count": tf.math.bincount(tf.cast(x > 0, tf.int32), axis=-1, minlength=2, maxlength=2),
        "running": tf.cumsum(x, 1, exclusive=True, reverse=True),
        "product": tf.math.cumprod(x, 1),
    }


INDEX = TensorSpec("int32", (None, 4))
K = TensorSpec("int32", ())
RAGGED = {"rows": tf.RaggedTensorSpec([None, None], tf.float32)}
TOKENS = {"tokens": tf.RaggedTensorSpec([None, None], tf.int32)}
SPARSE = {"counts": tf.SparseTensorSpec([None, 8], tf.float32)}
BOXES = {"boxes": TensorSpec("float32", (None, 4)), "scores": TensorSpec("float32", (None,))}
MANY_BOXES = {"boxes": floats(12, 4), "scores": floats(12, 3)}
PAIR = {"left": floats(3), "right": floats(5)}


def wanted(batch_size: int, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {"x": rng.normal(size=(batch_size, 6)), "k": np.int32(1 + seed % 5)}


ZOO = (
    Specimen(ModelSpec("ragged_sum", lambda: ragged_sum, RAGGED), "ragged input"),
    Specimen(ModelSpec("ragged_embedding", lambda: ragged_embedding, TOKENS, samples=no_row_is_empty), "ragged input"),
    Specimen(ModelSpec("sparse_product", lambda: sparse_product, SPARSE), "sparse input"),
    Specimen(ModelSpec("nms", lambda: suppressed, BOXES, samples=one_image), "non-max suppression"),
    Specimen(
        ModelSpec("nms_combined", lambda: suppressed_by_class, MANY_BOXES, samples=boxes),
        "non-max suppression, combined",
    ),
    Specimen(
        ModelSpec("top_k_dynamic", lambda: top_k, {"x": floats(6), "k": K}, samples=wanted), "dynamic top_k", fast=True
    ),
    Specimen(ModelSpec("einsum", seeded(Einsums), PAIR), "einsum", fast=True),
    Specimen(
        ModelSpec("scatter_duplicates", lambda: scattered, {"at": INDEX, "x": floats(4)}),
        "gather and scatter, duplicate indices",
        fast=True,
    ),
    Specimen(ModelSpec("segments", lambda: segments, {"x": floats(6)}), "gather and scatter, duplicate indices"),
)
