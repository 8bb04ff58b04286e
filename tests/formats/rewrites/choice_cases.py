"""Ops on whole numbers, on rows dealt out and put together, on branches and boxes, by the rewrite that mends them."""

from typing import Any

import numpy as np
import tensorflow as tf

from tests.formats.rewrites.one_op import Case
from toolkit import TensorSpec

b = tf.bitwise
WHOLE, TINY = TensorSpec("int32", (None, 4)), TensorSpec("int8", (None, 4))
TFLITE, ONNX = ("tflite",), ("onnx",)
LONG = np.array([2**62, -(2**62) - 5, 10**12 + 1, -7, 8, 0, 2**53 + 1, -(2**31)])


def cases(x: Any) -> Any:
    which = tf.cast(tf.round(x[0, 0] * 3.0), tf.int32)
    branches = [lambda: x * 2.0, lambda: tf.nn.relu(x), lambda: x - 1.0, lambda: -x]
    inner = tf.switch_case(which + 2, [lambda: x + 3.0, lambda: tf.switch_case(which, branches)])
    return {"chosen": tf.switch_case(which, branches), "inner": inner}


def fake_quant(x: Any) -> Any:
    q = tf.quantization
    return {
        "fixed": q.fake_quant_with_min_max_args(x, -1.3, 2.2, num_bits=8),
        "narrow": q.fake_quant_with_min_max_args(x, -1.0, 1.5, num_bits=4, narrow_range=True),
        "measured": q.fake_quant_with_min_max_vars(x, tf.reduce_min(x) - 0.1, tf.reduce_max(x) + 0.1),
        "channels": q.fake_quant_with_min_max_vars_per_channel(x, tf.fill([4], -1.0), [0.5, 1.0, 0.0, 2.0]),
        "nothing": q.fake_quant_with_min_max_vars(x, 0.0, 0.0),
    }


def integers(batch_size: int, seed: int, dtype: str) -> dict[str, Any]:
    limits = np.iinfo(dtype)
    rows = np.random.default_rng(seed).integers(limits.min, limits.max, (batch_size, 4), dtype, endpoint=True)
    return {"x": rows}


def bits(x: Any) -> Any:
    y = tf.reverse(x, [1])
    small, other = tf.cast(x, tf.int8), tf.cast(y, tf.uint8)
    return {
        "and": b.bitwise_and(x, y),
        "or": b.bitwise_or(x, y),
        "not": b.invert(x),
        "left": b.left_shift(x, y & 31),
        "small": b.bitwise_and(small, tf.cast(y, tf.int8)),
        "bytes": b.bitwise_or(other, tf.cast(x, tf.uint8)),
    }


def small_integers(x: Any) -> Any:
    y = tf.cast(tf.reverse(x, [1]) // 2 + 1, tf.int8)
    unsigned = tf.cast(x, tf.uint8)
    return {
        "sum": x + y,
        "product": x * y,
        "ratio": x // 7,
        "rest": x % 5,
        "minus": unsigned - tf.cast(y, tf.uint8),
        "less": tf.cast(x < y, tf.int32),
        "count": tf.math.count_nonzero(x, 1),
        "total": tf.reduce_sum(unsigned, 1),
        "greatest": tf.maximum(x, y),
    }


def small_rows(x: Any) -> Any:
    return {
        "reversed": tf.reverse(x, [1]),
        "tiled": tf.tile(x, [1, 2]),
        "padded": tf.pad(x, [[0, 0], [1, 1]], constant_values=-3),
        "mirrored": tf.pad(x, [[0, 0], [1, 2]], mode="REFLECT"),
        "hot": tf.one_hot(tf.maximum(x, 0) % 4, 4),
    }


def patches(x: Any) -> Any:
    images, ones = tf.reshape(x, (-1, 8, 6, 2)), [1, 1, 1, 1]
    cut = tf.image.extract_patches
    return {
        "apart": cut(images, [1, 4, 4, 1], [1, 4, 4, 1], ones, "VALID"),
        "over": cut(images, [1, 3, 2, 1], [1, 2, 1, 1], [1, 2, 2, 1], "SAME"),
    }


def resizing(x: Any) -> Any:
    images = tf.reshape(x, (-1, 5, 7, 2))
    return {
        "larger": tf.image.resize(images, (9, 16), "bicubic"),
        "smaller": tf.image.resize(images, (3, 4), "bicubic"),
        "areas": tf.image.resize(images, (2, 5), "area"),
        "smooth": tf.image.resize(images, (3, 9), "bilinear", antialias=True),
        "wide": tf.image.resize(images, (4, 4), "lanczos3"),
        "corners": tf.compat.v1.image.resize_bicubic(images, (6, 6), align_corners=True),
    }


def long_division(x: Any) -> Any:
    divisors = tf.constant([7, -3, 2**33 + 1, 1], tf.int64)
    large = tf.constant(LONG)[None] + tf.cast(x[:, :1], tf.int64)
    return {
        "down": tf.cast(x, tf.int64) * 12345 // divisors,
        "zero": tf.truncatediv(tf.cast(x, tf.int64) * 12345, divisors),
        "large": large // 10,
        "negative": large // -7,
        "large_zero": tf.truncatediv(large, 3),
    }


def partitions(x: Any) -> Any:
    numbers = tf.range(tf.size(x)) % 3
    parts = tf.dynamic_partition(tf.reshape(x, [-1]), numbers, 3)
    places = tf.dynamic_partition(tf.range(tf.size(x)), numbers, 3)
    counted = tf.unique_with_counts(tf.cast(tf.reshape(x, [-1]) * 2.0, tf.int32))
    twice = tf.dynamic_stitch([[0, 1], [[1, 3], [2, 0]]], [x[0, :2], tf.reshape(x[0], (2, 2))])
    return {
        "first": parts[0],
        "of_blocks": tf.dynamic_partition(tf.stack([x, -x], 2), tf.cast(x > 0.0, tf.int32), 2)[1],
        "together": tf.dynamic_stitch(places, [part * 2.0 for part in parts]),
        "twice": twice,
        **{f"unique_{name}": value for name, value in counted._asdict().items()},
    }


def scatters(x: Any) -> Any:
    at = tf.constant([[0, 1], [2, 2], [0, 1], [1, 0]])
    base, rows = tf.zeros((3, 3)) + 0.1, [[1], [0], [1], [4]]
    wide = tf.zeros((5, 4)) - 0.2
    square = tf.concat([x[:1], -x[:1], x[:1] * 2.0, x[:1] + 1.0], 0)
    return {
        "least": tf.tensor_scatter_nd_min(base, at, x[0]),
        "most": tf.tensor_scatter_nd_max(base, at, x[0]),
        "less": tf.tensor_scatter_nd_sub(base, at, x[0]),
        "most_of_rows": tf.tensor_scatter_nd_max(wide, rows, square),
    }


def rolling(x: Any) -> Any:
    turns = tf.cast(tf.reduce_sum(tf.abs(x)) * 3.0, tf.int32)
    return {"once": tf.roll(x, 1, 1), "both": tf.roll(x, [-5, 2], [1, 0]), "open": tf.roll(x, turns, -1)}


def boxes(x: Any) -> Any:
    corners = tf.abs(x) % 1.0
    sides = tf.reverse(corners, [1])[:, :2] * 0.3 + 0.2
    return tf.concat([corners[:, :2], corners[:, :2] + sides], 1), corners[:, 2]


def boxes_open(x: Any) -> Any:
    found, scores = boxes(x)
    kept = tf.image.non_max_suppression(found, scores, 9, 0.1, 0.2)
    softly, lowered = tf.image.non_max_suppression_with_scores(found, scores, 9, 0.1, 0.2)
    return {"kept": tf.gather(found, kept), "softly": softly, "lowered": lowered}


def boxes_soft(x: Any) -> Any:
    found, scores = boxes(tf.concat([x, x * 1.1, x * 0.9 + 0.01], 0))
    kept, lowered = tf.image.non_max_suppression_with_scores(found, scores, 9, 0.8, 0.05, soft_nms_sigma=0.5)
    return {"kept": kept, "lowered": lowered}


def crops(x: Any) -> Any:
    images = tf.reshape(tf.range(240, dtype=tf.float32) % 17.0, (2, 6, 5, 4))[:, :, :, :3]
    corners = tf.concat([tf.abs(x) % 0.9, [[0.1, 0.8, 0.9, -0.3]]], 0)
    own = tf.range(tf.shape(corners)[0]) % 2
    return {
        "smooth": tf.image.crop_and_resize(images, corners, own, (3, 4), extrapolation_value=-2.0),
        "nearest": tf.image.crop_and_resize(images, corners, own, (2, 5), method="nearest"),
        "point": tf.image.crop_and_resize(images * x[0, 0], corners, own, (1, 1)),
    }


def norms(x: Any) -> Any:
    return {"rows": tf.math.reduce_euclidean_norm(x, 1, keepdims=True), "all": tf.math.reduce_euclidean_norm(x)}


CHOICE_CASES = (
    Case("cases", cases),
    Case("fake_quant", fake_quant),
    Case("bits", bits, needed=TFLITE, spec=WHOLE, samples=lambda n, s: integers(n, s, "int32")),
    Case(
        "small_integers",
        small_integers,
        spec=TINY,
        samples=lambda n, s: integers(n, s, "int8"),
    ),
    Case(
        "small_rows",
        small_rows,
        spec=TINY,
        samples=lambda n, s: integers(n, s, "int8"),
    ),
    Case("resizing", resizing, (70,)),
    Case("patches", patches, (96,)),
    Case(
        "long_division",
        long_division,
        needed=TFLITE,
        tolerance=0.0,
        spec=WHOLE,
        samples=lambda n, s: integers(n, s, "int32"),
    ),
    Case("partitions", partitions),
    Case("scatters", scatters, needed=TFLITE),
    Case("crops", crops, needed=TFLITE, tolerance=1e-5),
    Case("norms", norms),
    Case("rolling", rolling, needed=TFLITE),
    Case("boxes_open", boxes_open, needed=TFLITE),
    Case("boxes_soft", boxes_soft, needed=ONNX),
)
