"""Attention over sequences of fixed and of open length, by Keras' layers and by hand."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tests.zoo.specimen import Specimen, floats, seeded
from toolkit import ModelSpec, TensorSpec

layers = keras.layers
WIDTH = 16


def encoder(length: int | None) -> Any:
    source = keras.Input((length, WIDTH), name="vectors")
    normal = layers.LayerNormalization()(source)
    x = layers.Add()([source, layers.MultiHeadAttention(2, 8)(normal, normal)])
    wide = layers.Dense(32, activation=lambda t: keras.activations.gelu(t, approximate=False))(x)
    return keras.Model(source, layers.Add(name="encoded")([x, layers.Dense(WIDTH)(wide)]))


class Decoder(keras.Model):
    """Token embeddings, causal attention and padding by mask, as a subclass."""

    def __init__(self) -> None:
        super().__init__(name="other")
        self.lookup = layers.Embedding(20, WIDTH, mask_zero=True, name="kappa")
        self.mixer = layers.MultiHeadAttention(4, 4, name="lambda_")
        self.head = layers.Dense(20, name="mu")

    def call(self, tokens: Any) -> Any:
        x = self.lookup(tokens)
        return self.head(x + self.mixer(x, x, use_causal_mask=True))


class ByHand(tf.Module):
    """Attention of einsums over an open number of positions, with rotary positions."""

    def __init__(self) -> None:
        super().__init__()
        rng = np.random.default_rng(5)
        shape = (3, WIDTH, 2, WIDTH // 2)
        self.project = tf.Variable(rng.normal(size=shape, scale=0.3).astype(np.float32))

    def __call__(self, x: Any) -> Any:
        query, key, value = (tf.einsum("btd,dhe->bthe", x, self.project[at]) for at in range(3))
        query, key = rotated(query), rotated(key)
        scores = tf.einsum("bthe,bshe->bhts", query, key) / np.sqrt(WIDTH / 2).astype(np.float32)
        length = tf.shape(x)[1]
        causal = tf.linalg.band_part(tf.ones((length, length)), -1, 0)
        weights = tf.nn.softmax(tf.where(causal > 0, scores, -1e9))
        return {"attended": tf.einsum("bhts,bshe->bthe", weights, value)}


def rotated(x: Any) -> Any:
    half = x.shape[-1] // 2
    speeds = 1.0 / (100.0 ** (tf.range(half, dtype=tf.float32) / half))
    angles = tf.cast(tf.range(tf.shape(x)[1]), tf.float32)[:, None, None] * speeds
    left, right = tf.split(x, 2, axis=-1)
    return tf.concat(
        [left * tf.cos(angles) - right * tf.sin(angles), right * tf.cos(angles) + left * tf.sin(angles)], -1
    )


TOKENS = TensorSpec("int32", (None, 12))
ZOO = (
    Specimen(ModelSpec("attention_fixed", seeded(lambda: encoder(10))), "attention, fixed length"),
    Specimen(ModelSpec("attention_dynamic", seeded(lambda: encoder(None))), "attention, dynamic length", fast=True),
    Specimen(ModelSpec("attention_causal", seeded(Decoder), {"tokens": TOKENS}), "attention, fixed length"),
    Specimen(ModelSpec("attention_by_hand", ByHand, {"x": floats(None, WIDTH)}), "attention, dynamic length"),
)
