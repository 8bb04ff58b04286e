"""Trains models/tabular.py, both of its answers together."""

import numpy as np

from models.tabular import FEATURES, MODEL, SPECIES, TARGET, network, penguins
from scripts.training.weights import finish, seed


def train() -> None:
    """Fit species and weight; the error of the weight counts in deviations, so that grams do not drown the species."""
    import keras
    import tensorflow as tf

    seed(3)
    rows = penguins().train
    features = {name: tf.constant(rows.columns[name].tolist(), dtype) for name, dtype in FEATURES.items()}
    mass = rows.columns[TARGET].reshape(-1, 1)
    model = network()
    model.compile(
        keras.optimizers.Adam(5e-3),
        {"probabilities": "categorical_crossentropy", TARGET: "mse"},
        loss_weights={"probabilities": 1.0, TARGET: 1.0 / float(mass.var())},
    )
    wanted = {"probabilities": np.eye(len(SPECIES), dtype=np.float32)[rows.labels], TARGET: mass}
    model.fit(features, wanted, batch_size=32, epochs=60, verbose=2)
    finish(model, MODEL)
