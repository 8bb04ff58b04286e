"""Handwritten digits by five dense layers: a model so small that the cost of a call is what one measures."""

from collections.abc import Iterator
from typing import Any

from models._data import digits, files, restore
from toolkit import ModelSpec, TensorSpec
from toolkit.core.model import Predict
from toolkit.core.tensors import Array

HIDDEN = (256, 128, 256, 128)


def network() -> Any:
    """The untrained Keras model."""
    import keras  # late: listing models must not load TensorFlow

    image = keras.Input((28, 28), name="image")
    x = keras.layers.Flatten(name="pixels")(image)
    for at, units in enumerate(HIDDEN, start=1):
        x = keras.layers.Dense(units, activation="relu", name=f"hidden_{at}")(x)
    probabilities = keras.layers.Dense(10, activation="softmax", name="probabilities")(x)
    return keras.Model(image, probabilities, name="mlp")


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
    name="mlp",
    build=build,
    inputs={"image": TensorSpec("float32", (None, 28, 28))},
    samples=samples,
    calibration=calibration,
    evaluate=evaluate,
    files=files("mlp", "digits.npz"),
    description="28x28 handwritten digits by dense layers 256, 128, 256, 128 and a softmax over 10 classes",
)
