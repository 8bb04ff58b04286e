"""Trains models/mlp.py."""

from models._data import digits
from models.mlp import MODEL, network
from scripts.training.weights import finish, seed


def train() -> None:
    """Fit the digits; a falling step size makes the last epochs agree with each other."""
    import keras

    seed(1)
    rows = digits().train
    model = network()
    steps = keras.optimizers.schedules.CosineDecay(2e-3, decay_steps=40 * 22)
    model.compile(keras.optimizers.Adam(steps), "sparse_categorical_crossentropy")
    model.fit(rows.columns["image"], rows.labels, batch_size=64, epochs=40, verbose=2)
    finish(model, MODEL)
