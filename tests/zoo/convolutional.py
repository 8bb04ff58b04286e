"""Networks over images: plain, depthwise, and one or two blocks each of the architectures that people use."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tests.zoo.specimen import Specimen, floats, seeded
from toolkit import ModelSpec

layers = keras.layers
SIDE = 16


def image() -> Any:
    return keras.Input((SIDE, SIDE, 3), name="image")


def head(source: Any, x: Any) -> Any:
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(source, layers.Dense(4, activation="softmax", name="classes")(x))


def cnn() -> Any:
    x = source = image()
    for filters in (8, 16):
        x = layers.MaxPooling2D()(layers.Conv2D(filters, 3, activation="relu", padding="same")(x))
    return keras.Model(source, layers.Dense(4)(layers.Flatten()(x)))


def depthwise() -> Any:
    x = source = image()
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same", activation="relu")(x)
    x = layers.SeparableConv2D(8, 3, strides=2, padding="same")(layers.ZeroPadding2D(((0, 1), (0, 1)))(x))
    return head(source, layers.PReLU(shared_axes=[1, 2])(x))


def mobilenet() -> Any:
    x = source = image()
    x = layers.ReLU(6.0)(layers.BatchNormalization()(layers.Conv2D(8, 3, 2, padding="same", use_bias=False)(x)))
    for _ in range(2):
        y = layers.Activation("hard_swish")(layers.BatchNormalization()(layers.Conv2D(16, 1)(x)))
        y = layers.ReLU(6.0)(layers.BatchNormalization()(layers.DepthwiseConv2D(3, padding="same")(y)))
        x = layers.Add()([x, layers.BatchNormalization()(layers.Conv2D(8, 1)(y))])
    return head(source, x)


def efficientnet() -> Any:
    source = image()
    x = layers.Normalization(mean=[0.1, 0.2, 0.3], variance=[1.0, 2.0, 3.0])(layers.Rescaling(0.5)(source))
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="swish")(x)
    for _ in range(2):
        y = layers.Conv2D(24, 1, activation="swish")(x)
        y = layers.Activation("swish")(layers.BatchNormalization()(layers.DepthwiseConv2D(5, padding="same")(y)))
        squeezed = layers.GlobalAveragePooling2D(keepdims=True)(y)
        excited = layers.Conv2D(24, 1, activation="sigmoid")(layers.Conv2D(4, 1, activation="swish")(squeezed))
        y = layers.Conv2D(8, 1)(layers.Multiply()([y, excited]))
        x = layers.Add()([x, layers.Dropout(0.2, noise_shape=(None, 1, 1, 1))(y)])
    return head(source, x)


def resnet() -> Any:
    x = source = image()
    x = layers.MaxPooling2D(3, 2, padding="same")(layers.Conv2D(8, 7, padding="same")(x))
    for filters, strides in ((8, 1), (16, 2)):
        y = layers.Conv2D(filters, 3, strides, padding="same", use_bias=False)(x)
        y = layers.ReLU()(layers.BatchNormalization()(y))
        y = layers.BatchNormalization()(layers.Conv2D(filters, 3, padding="same")(y))
        x = layers.ReLU()(layers.Add()([layers.Conv2D(filters, 1, strides)(x), y]))
    return head(source, x)


class Resnet(keras.Model):
    """The block of a residual network as a subclass, with names of its own."""

    def __init__(self) -> None:
        super().__init__(name="something_else")
        self.alpha = layers.Conv2D(6, 3, padding="same", name="omega")
        self.beta = layers.BatchNormalization(name="psi")
        self.gamma = layers.Conv2D(6, 1, name="chi")

    def call(self, pixels: Any) -> Any:
        return tf.reduce_mean(tf.nn.leaky_relu(self.beta(self.alpha(pixels)) + self.gamma(pixels)), [1, 2])


class ScaleLayer(keras.layers.Layer):
    """ConvNeXt's learned factor for each channel of a branch."""

    def build(self, shape: Any) -> None:
        self.factor = self.add_weight(shape=(shape[-1],), initializer="random_normal")

    def call(self, x: Any) -> Any:
        return x * self.factor


def convnext() -> Any:
    x = source = image()
    x = layers.LayerNormalization(epsilon=1e-6)(layers.Conv2D(8, 4, 4)(x))
    for _ in range(2):
        y = layers.LayerNormalization(epsilon=1e-6)(layers.Conv2D(8, 7, padding="same", groups=8)(x))
        y = layers.Dense(8)(
            layers.Activation(lambda t: keras.activations.gelu(t, approximate=False))(layers.Dense(32)(y))
        )
        x = layers.Add()([x, ScaleLayer()(y)])
    return head(source, x)


def densenet() -> Any:
    x = source = image()
    for _ in range(2):
        for _ in range(2):
            y = layers.ReLU()(layers.BatchNormalization()(x))
            x = layers.Concatenate()([x, layers.Conv2D(6, 3, padding="same")(y)])
        x = layers.AveragePooling2D(2)(layers.Conv2D(8, 1)(x))
    return head(source, x)


def resnext() -> Any:
    x = source = image()
    x = layers.Conv2D(8, 3, padding="same", groups=1)(x)
    return head(source, layers.ReLU()(layers.Conv2D(16, 3, groups=4, dilation_rate=2)(x)))


class Grouped(tf.Module):
    """A grouped convolution by hand: its filter has fewer channels than its input."""

    def __init__(self) -> None:
        super().__init__()
        self.filter = tf.Variable(np.random.default_rng(2).normal(size=(3, 3, 2, 8)).astype(np.float32))

    def __call__(self, planes: Any) -> Any:
        return {"grouped": tf.nn.conv2d(planes, self.filter, 2, "SAME")}


ZOO = (
    Specimen(ModelSpec("cnn", seeded(cnn)), "CNN"),
    Specimen(ModelSpec("depthwise", seeded(depthwise)), "depthwise"),
    Specimen(ModelSpec("mobilenet", seeded(mobilenet)), "MobileNet"),
    Specimen(ModelSpec("efficientnet", seeded(efficientnet)), "EfficientNet"),
    Specimen(ModelSpec("resnet", seeded(resnet)), "ResNet"),
    Specimen(ModelSpec("resnet_subclassed", seeded(Resnet), {"pixels": floats(SIDE, SIDE, 3)}), "ResNet"),
    Specimen(ModelSpec("convnext", seeded(convnext)), "ConvNeXt", fast=True),
    Specimen(ModelSpec("densenet", seeded(densenet)), "DenseNet"),
    Specimen(ModelSpec("resnext", seeded(resnext)), "ResNeXt"),
    Specimen(ModelSpec("grouped_by_hand", Grouped, {"planes": floats(SIDE, SIDE, 4)}), "grouped convolution"),
)
