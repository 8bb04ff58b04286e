"""Decoders, branches, boxes, pieces of images and whole numbers, as found on models that the zoo had not seen."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from tests.zoo.specimen import Specimen, floats, seeded
from toolkit import ModelSpec, TensorSpec


class Greedy(tf.Module):
    """Greedy decoding: the ids grow in a loop, which looks each of them up in a variable."""

    def __init__(self) -> None:
        super().__init__()
        rng = np.random.default_rng(5)
        self.table = tf.Variable(rng.normal(size=(20, 8)).astype(np.float32))
        self.turn = tf.Variable(rng.normal(size=(8, 8)).astype(np.float32))

    def __call__(self, context: Any) -> Any:
        def step(at: Any, ids: Any, state: Any) -> Any:
            state = tf.tanh(state @ self.turn + tf.gather(self.table, ids[:, -1]))
            best = tf.argmax(state @ tf.transpose(self.table), -1, output_type=tf.int32)
            return at + 1, tf.concat([ids, best[:, None]], 1), state

        first = tf.ones([tf.shape(context)[0], 1], tf.int32)
        shapes = [tf.TensorShape(()), tf.TensorShape((None, None)), tf.TensorShape((None, 8))]
        _, ids, state = tf.while_loop(lambda at, *_: at < 6, step, [0, first, context], shape_invariants=shapes)
        return {"ids": ids, "state": state}


class Experts(tf.Module):
    """One of several ways to go on, told by an input."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = tf.Variable(np.random.default_rng(0).normal(size=(4, 4)).astype(np.float32))

    def __call__(self, x: Any, which: Any) -> Any:
        ways = [lambda: x @ self.weights, lambda: tf.nn.relu(x), lambda: x * 3.0]
        return {"y": tf.switch_case(which, ways, default=lambda: -x)}


def halving(x: Any) -> Any:
    """A TensorArray of scalars that grows until a condition on the values ends it."""
    found = tf.TensorArray(tf.float32, size=0, dynamic_size=True, element_shape=[])
    at, rest = 0, tf.reduce_sum(tf.abs(x)) + 1.0
    while rest > 0.01 and at < 40:
        found = found.write(at, rest)
        rest = rest / 3.0
        at += 1
    return {"trace": found.stack(), "count": at}


def suppressed(boxes: Any, scores: Any) -> Any:
    kept = tf.image.non_max_suppression(boxes, scores, 5, 0.3, 0.4)
    softly, lowered = tf.image.non_max_suppression_with_scores(boxes, scores, 5, 0.9, 0.2, soft_nms_sigma=0.5)
    return {"kept": tf.gather(boxes, kept), "softly": softly, "lowered": lowered}


def some_boxes(batch_size: int, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 0.7, (batch_size, 2))
    sides = rng.uniform(0.1, 0.4, (batch_size, 2))
    return {"boxes": np.concatenate([corners, corners + sides], 1), "scores": rng.uniform(size=batch_size)}


def cut_out(image: Any, boxes: Any) -> Any:
    own = tf.range(tf.shape(boxes)[0]) % tf.shape(image)[0]
    return {
        "crops": tf.image.crop_and_resize(image, boxes, own, (7, 5), extrapolation_value=0.5),
        "cubic": tf.image.resize(image, (9, 14), "bicubic"),
        "area": tf.image.resize(image, (4, 5), "area"),
    }


def image_and_boxes(batch_size: int, seed: int) -> dict[str, Any]:
    image = np.random.default_rng(seed).uniform(size=(batch_size, 12, 10, 3))
    return {"image": image, "boxes": some_boxes(batch_size, seed)["boxes"]}


def patch_transformer() -> Any:
    pixels = keras.Input((16, 16, 3), dtype="uint8", name="pixels")
    x = keras.ops.image.extract_patches(keras.ops.cast(pixels, "float32") / 255.0, (4, 4))
    x = layers.Dense(8)(layers.Reshape((16, 48))(x))
    x = x + layers.MultiHeadAttention(2, 4)(layers.LayerNormalization()(x), x)
    return keras.Model(pixels, layers.Dense(3)(layers.GlobalAveragePooling1D()(x)))


def bit_features(flags: Any, small: Any, stamp: Any) -> Any:
    return {
        "masked": tf.bitwise.bitwise_and(flags, 12),
        "shifted": tf.bitwise.left_shift(flags, 2),
        "sum": small + 1,
        "half": small // 2,
        "hot": tf.math.count_nonzero(small, 1),
        "hour": stamp // 3600 % 24,
    }


def whole_numbers(batch_size: int, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {
        "flags": rng.integers(-(2**31), 2**31, (batch_size, 3)),
        "small": rng.integers(-128, 128, (batch_size, 5)),
        "stamp": rng.integers(0, 2**34, batch_size),
    }


def dealt_out(x: Any) -> Any:
    """Rows go to one of two treatments by what is in them, and back to their places."""
    which = tf.cast(tf.reduce_sum(x, 1) > 0, tf.int32)
    rows = tf.dynamic_partition(x, which, 2)
    places = tf.dynamic_partition(tf.range(tf.shape(x)[0]), which, 2)
    turned = tf.roll(x, 1, 1)
    most = tf.tensor_scatter_nd_max(tf.zeros((5, 3)), which[:, None], turned)
    return {"joined": tf.dynamic_stitch(places, [rows[0] * 2.0, tf.tanh(rows[1])]), "turned": turned, "most": most}


def prepared(x: Any) -> Any:
    """What training with quantization in mind leaves in a graph."""
    return {"y": tf.quantization.fake_quant_with_min_max_args(tf.math.reduce_euclidean_norm(x, 1), -2.0, 3.0)}


INT32 = TensorSpec("int32", ())
FLAGS = {
    "flags": TensorSpec("int32", (None, 3)),
    "small": TensorSpec("int8", (None, 5)),
    "stamp": TensorSpec("int64", (None,)),
}
BOXES = {"boxes": TensorSpec("float32", (None, 4)), "scores": TensorSpec("float32", (None,))}
PIECES = {"image": floats(12, 10, 3), "boxes": floats(4)}
ZOO = (
    Specimen(ModelSpec("greedy_decoder", Greedy, {"context": floats(8)}), "tf.while, growing state"),
    Specimen(ModelSpec("switch_case", Experts, {"x": floats(4), "which": INT32}), "cond"),
    Specimen(ModelSpec("growing_scalars", lambda: halving, {"x": floats()}), "tf.while, growing state"),
    Specimen(ModelSpec("nms_open_and_soft", lambda: suppressed, BOXES, samples=some_boxes), "non-max suppression"),
    Specimen(ModelSpec("crops", lambda: cut_out, PIECES, samples=image_and_boxes), "image ops"),
    Specimen(ModelSpec("patch_transformer", seeded(patch_transformer)), "uint8 input, patches"),
    Specimen(ModelSpec("bit_features", lambda: bit_features, FLAGS, samples=whole_numbers), "int8, int32, int64 input"),
    Specimen(ModelSpec("dealt_out", lambda: dealt_out, {"x": floats(3)}), "gather and scatter, duplicate indices"),
    Specimen(ModelSpec("fake_quant", lambda: prepared, {"x": floats(4)}), "fake quantization"),
)
