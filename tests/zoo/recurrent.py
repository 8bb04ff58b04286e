"""Recurrent networks: both kinds of gates, both reset modes, masks, state, open time, images over time."""

from typing import Any

import keras
import numpy as np

from tests.zoo.specimen import Specimen, floats, seeded
from toolkit import ModelSpec, TensorSpec

layers = keras.layers
STEPS = 6


def over_time(*stack: Any, steps: int | None = STEPS) -> Any:
    return keras.Sequential([layers.Input((steps, 4), name="steps"), *stack, layers.Dense(2)])


def lstm() -> Any:
    return over_time(layers.LSTM(5, return_sequences=True), layers.LSTM(3))


def gru(*, reset_after: bool) -> Any:
    return over_time(layers.GRU(5, reset_after=reset_after))


def bidirectional() -> Any:
    return over_time(layers.Bidirectional(layers.GRU(4, return_sequences=True)), layers.Bidirectional(layers.LSTM(3)))


def masked() -> Any:
    tokens = keras.Input((STEPS,), dtype="int32", name="tokens")
    x = layers.Embedding(10, 4, mask_zero=True)(tokens)
    return keras.Model(tokens, layers.Dense(2)(layers.LSTM(5)(x)))


def padded(batch_size: int, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    tokens = rng.integers(1, 10, (batch_size, STEPS))
    return {"tokens": np.where(np.arange(STEPS) < rng.integers(1, STEPS + 1, (batch_size, 1)), tokens, 0)}


def stateful() -> Any:
    return keras.Sequential([layers.Input(batch_shape=(2, STEPS, 4)), layers.GRU(3, stateful=True)])


def simple() -> Any:
    return over_time(layers.SimpleRNN(4, return_sequences=True, go_backwards=True), layers.SimpleRNN(3))


def convlstm() -> Any:
    return keras.Sequential([layers.Input((4, 6, 6, 2)), layers.ConvLSTM2D(3, 3, padding="same")])


class Reader(keras.Model):
    """An LSTM behind other names, whose states are outputs."""

    def __init__(self) -> None:
        super().__init__(name="reader")
        self.core = layers.LSTM(4, return_state=True, name="not_called_so")

    def call(self, frames: Any) -> Any:
        last, hidden, cell = self.core(frames)
        return {"last": last, "states": {"hidden": hidden, "cell": cell}}


TOKENS = {"tokens": TensorSpec("int32", (None, STEPS))}
ZOO = (
    Specimen(ModelSpec("lstm", seeded(lstm)), "LSTM"),
    Specimen(ModelSpec("lstm_subclassed", seeded(Reader), {"frames": floats(STEPS, 4)}), "LSTM"),
    Specimen(
        ModelSpec("lstm_dynamic_time", seeded(lambda: over_time(layers.LSTM(5), steps=None))), "LSTM, dynamic time"
    ),
    Specimen(ModelSpec("gru_reset_after", seeded(lambda: gru(reset_after=True))), "GRU"),
    Specimen(ModelSpec("gru_reset_before", seeded(lambda: gru(reset_after=False))), "GRU"),
    Specimen(ModelSpec("bidirectional", seeded(bidirectional)), "bidirectional"),
    Specimen(ModelSpec("masked_lstm", seeded(masked), TOKENS, samples=padded), "masked"),
    Specimen(ModelSpec("stateful_gru", seeded(stateful)), "stateful"),
    Specimen(ModelSpec("simple_rnn", seeded(simple)), "simple recurrent"),
    Specimen(ModelSpec("convlstm", seeded(convlstm)), "ConvLSTM"),
)
