"""Convolutions over time, over volumes and over images of open size; normalizations."""

from typing import Any

import keras
import tensorflow as tf

from tests.zoo.specimen import Specimen, floats, seeded
from toolkit import ModelSpec

layers = keras.layers


def causal() -> Any:
    source = keras.Input((20, 3), name="series")
    x = layers.Conv1D(6, 3, padding="causal", activation="relu")(source)
    return keras.Model(source, layers.Conv1D(2, 2, padding="causal", strides=2)(x))


def dilated() -> Any:
    source = keras.Input((None, 3), name="series")
    x = layers.Conv1D(4, 1)(source)
    for rate in (1, 2, 4):
        gate = layers.Conv1D(4, 2, padding="causal", dilation_rate=rate, activation="sigmoid")(x)
        value = layers.Conv1D(4, 2, padding="causal", dilation_rate=rate, activation="tanh")(x)
        x = layers.Add()([x, layers.Multiply()([gate, value])])
    return keras.Model(source, layers.SeparableConv1D(2, 3)(x))


def unet(side: int | None) -> Any:
    source = keras.Input((side, side, 3), name="image")
    first = layers.Conv2D(4, 3, padding="same", activation="relu")(source)
    second = layers.Conv2D(8, 3, padding="same", activation="relu")(layers.MaxPooling2D()(first))
    low = layers.Conv2D(8, 3, padding="same", activation="relu")(layers.MaxPooling2D()(second))
    x = layers.Concatenate()([layers.UpSampling2D()(low), second])
    x = layers.Conv2DTranspose(4, 2, strides=2, padding="same")(x)
    x = layers.Concatenate()([x, first])
    return keras.Model(source, layers.Conv2D(2, 1, activation="softmax")(x))


class Resizer(keras.Model):
    """An open image is brought to the size of its own half and back by the shapes at run time."""

    def __init__(self) -> None:
        super().__init__()
        self.look = layers.Conv2D(3, 3, padding="same")

    def call(self, photo: Any) -> Any:
        size = tf.shape(photo)[1:3]
        small = tf.image.resize(self.look(photo), size // 2, method="bilinear")
        return tf.image.resize(small, size, method="nearest") + photo


def volumes() -> Any:
    source = keras.Input((6, 8, 8, 2), name="volume")
    x = layers.MaxPooling3D()(layers.Conv3D(4, 3, padding="same", activation="relu")(source))
    return keras.Model(source, layers.GlobalAveragePooling3D()(layers.Conv3DTranspose(3, 2, strides=2)(x)))


def normalized(*normalizations: Any) -> Any:
    source = keras.Input((8, 8, 8), name="planes")
    x = source
    for normalization in normalizations:
        x = normalization(layers.Conv2D(8, 3, padding="same")(x))
    return keras.Model(source, x)


class PowerLayer(keras.layers.Layer):
    """Root mean square normalization and an affine one, by hand."""

    def call(self, x: Any) -> Any:
        x = x * tf.math.rsqrt(tf.reduce_mean(tf.square(x), -1, keepdims=True) + 1e-6)
        mean, variance = tf.nn.moments(x, [1, 2], keepdims=True)
        return tf.nn.batch_normalization(x, mean, variance, None, None, 1e-5)


ZOO = (
    Specimen(ModelSpec("conv1d_causal", seeded(causal)), "Conv1D causal"),
    Specimen(ModelSpec("conv1d_dilated", seeded(dilated)), "Conv1D dilated, dynamic time"),
    Specimen(ModelSpec("unet_fixed", seeded(lambda: unet(16))), "U-Net"),
    Specimen(ModelSpec("unet_dynamic", seeded(lambda: unet(None))), "U-Net, dynamic size", fast=True),
    Specimen(ModelSpec("resize_dynamic", seeded(Resizer), {"photo": floats(None, None, 3)}), "U-Net, dynamic size"),
    Specimen(ModelSpec("conv3d", seeded(volumes)), "Conv3D"),
    Specimen(
        ModelSpec("group_normalization", seeded(lambda: normalized(layers.GroupNormalization(4), PowerLayer()))),
        "group normalization",
    ),
    Specimen(
        ModelSpec("layer_normalization", seeded(lambda: normalized(layers.LayerNormalization([1, 2, 3])))),
        "layer normalization",
    ),
    Specimen(
        ModelSpec(
            "batch_normalization",
            seeded(lambda: normalized(layers.BatchNormalization(), layers.UnitNormalization(-1))),
        ),
        "batch normalization",
    ),
)
