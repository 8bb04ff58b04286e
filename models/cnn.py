"""Handwritten digits by convolutions, with the layers that behave otherwise in training than in service."""

from collections.abc import Iterator
from typing import Any

from models._data import digits, files, restore
from toolkit import ModelSpec, TensorSpec
from toolkit.core.model import Predict
from toolkit.core.tensors import Array

FILTERS = (16, 32, 64)


def network() -> Any:
    """The untrained Keras model."""
    import keras  # late: listing models must not load TensorFlow

    image = keras.Input((28, 28), name="image")
    x = keras.layers.Reshape((28, 28, 1), name="channel")(image)
    for at, filters in enumerate(FILTERS, start=1):
        # The bias would be taken off again by the normalization that follows.
        x = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False, name=f"convolution_{at}")(x)
        x = keras.layers.BatchNormalization(name=f"normalization_{at}")(x)
        x = keras.layers.ReLU(name=f"relu_{at}")(x)
        x = keras.layers.MaxPooling2D(name=f"pooling_{at}")(x)
    x = keras.layers.Flatten(name="features")(x)
    x = keras.layers.Dropout(0.3, name="dropout")(x)
    probabilities = keras.layers.Dense(10, activation="softmax", name="probabilities")(x)
    return keras.Model(image, probabilities, name="cnn")


def build() -> Any:
    """The trained Keras model."""
    return restore(network())


def samples(batch_size: int, seed: int) -> dict[str, Array]:
    """Digits that training has not seen."""
    return digits().held_out.draw(batch_size, seed)


def calibration() -> Iterator[dict[str, Array]]:
    """Digits that training has seen."""
    return digits().train.singles(200)


def evaluate(predict: Predict) -> float:
    """Accuracy on the held-out digits."""
    return digits().held_out.accuracy(predict, "probabilities")


MODEL = ModelSpec(
    name="cnn",
    build=build,
    inputs={"image": TensorSpec("float32", (None, 28, 28))},
    samples=samples,
    calibration=calibration,
    evaluate=evaluate,
    files=files("cnn", "digits.npz"),
    description="28x28 handwritten digits by three convolutions with batch normalization and dropout",
)
