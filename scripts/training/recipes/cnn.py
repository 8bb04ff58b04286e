"""Trains models/cnn.py on digits that are shifted anew in every epoch."""

import numpy as np

from models._data import digits
from models.cnn import MODEL, network
from scripts.training.weights import finish, seed
from toolkit.core.tensors import Array

EPOCHS = 25
FARTHEST = 2


def train() -> None:
    """Fit the shifted digits; the step size falls, so that the running statistics settle on the last weights."""
    import keras

    seed(4)
    rows = digits().train
    rng = np.random.default_rng(4)
    model = network()
    steps = keras.optimizers.schedules.CosineDecay(3e-3, decay_steps=EPOCHS * 22)
    model.compile(keras.optimizers.Adam(steps), "sparse_categorical_crossentropy")
    for _ in range(EPOCHS):
        model.fit(shifted(rows.columns["image"], rng), rows.labels, batch_size=64, verbose=2)
    finish(model, MODEL)


def shifted(images: Array, rng: np.random.Generator) -> Array:
    """Each image moved by a few pixels, with nothing where it was."""
    size = images.shape[1]
    padded = np.pad(images, ((0, 0), (FARTHEST, FARTHEST), (FARTHEST, FARTHEST)))
    corners = rng.integers(0, 2 * FARTHEST + 1, (len(images), 2))
    return np.stack([image[y : y + size, x : x + size] for image, (y, x) in zip(padded, corners.tolist(), strict=True)])
