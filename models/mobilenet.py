"""MobileNetV2 with random weights: not for its answers, but for what it costs to compute them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from models import _data
from models._data import DATA, digits, resized
from toolkit import ModelSpec, TensorSpec
from toolkit.core.tensors import Array, Feed

SIDE = 96
SEED = 8


def build() -> Any:
    """The Keras application, every weight drawn from a fixed seed."""
    import keras  # late: listing models must not load TensorFlow

    image = keras.Input((SIDE, SIDE, 3), name="image")
    network = keras.applications.MobileNetV2(input_tensor=image, weights=None, name="mobilenet")
    rng = np.random.default_rng(SEED)
    network.set_weights([_drawn(weight, rng) for weight in network.weights])
    return network


def _drawn(weight: Any, rng: np.random.Generator) -> Array:
    # By hand and not by the initializers of Keras: those draw from a state that the whole process shares, and their
    # kernels let the signal of an untrained network of this depth fade to nothing, so that any output would agree.
    shape = tuple(weight.shape)
    if "kernel" not in weight.path:
        return np.full(shape, 1.0 if "gamma" in weight.path or "variance" in weight.path else 0.0, dtype=np.float32)
    depthwise = "depthwise" in weight.path
    inputs = np.prod(shape[:2]) if depthwise else np.prod(shape[:-1])
    # What a ReLU halved is doubled; only the convolutions that widen a block see a signal without one.
    gain = 1.0 if "expand" in weight.path else 2.0
    return rng.normal(scale=np.sqrt(gain / inputs), size=shape).astype(np.float32)


def samples(batch_size: int, seed: int) -> dict[str, Array]:
    """Digits as colour pictures from -1 to 1, as this network is fed."""
    return coloured(digits().held_out.draw(batch_size, seed))


def coloured(feed: Feed) -> dict[str, Array]:
    """Digits enlarged, and their one channel three times."""
    enlarged = resized(feed["image"], SIDE) * np.float32(2.0) - np.float32(1.0)
    return {"image": np.repeat(enlarged[..., np.newaxis], 3, axis=-1)}


def calibration() -> Iterator[dict[str, Array]]:
    """Digits apart from those of the samples."""
    return (coloured(feed) for feed in digits().train.singles(50))


MODEL = ModelSpec(
    name="mobilenet",
    build=build,
    inputs={"image": TensorSpec("float32", (None, SIDE, SIDE, 3))},
    samples=samples,
    calibration=calibration,
    files=(DATA / "digits.npz", Path(_data.__file__)),
    description="MobileNetV2 at 96x96 with seeded random weights: there for its cost, its classes mean nothing",
)
