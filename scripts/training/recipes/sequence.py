"""Trains models/sequence.py on windows of sentences."""

from models.sequence import MODEL, network
from scripts.training.weights import finish, seed
from scripts.training.windows import epochs

EPOCHS = 60
BATCH = 64


def train() -> None:
    """Fit the windows with a falling step size; clipping keeps a recurrent layer from a step too far."""
    import keras

    seed(6)
    model = network()
    steps = keras.optimizers.schedules.CosineDecay(6e-3, decay_steps=EPOCHS * 39)
    model.compile(keras.optimizers.Adam(steps, clipnorm=1.0), "sparse_categorical_crossentropy", metrics=["accuracy"])
    for tokens, labels in epochs(EPOCHS, 6):
        model.fit(tokens, labels, batch_size=BATCH, verbose=2)
    finish(model, MODEL)
