"""Recurrences that a converter must not tell by their names: own cells, any mask, own states, loops in loops."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tests.zoo.specimen import Specimen, floats, seeded
from toolkit import ModelSpec

layers = keras.layers
STEPS = 6


def weights(*shape: int) -> Any:
    return tf.Variable(np.random.default_rng(sum(shape)).normal(0, 0.4, shape).astype("float32"))


class OwnLSTM(tf.Module):
    """An LSTM with gates in another order and one matrix for both; its states start from inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.alpha, self.beta = weights(3 + 4, 16), weights(16)

    def __call__(self, signal: Any, before: Any) -> Any:
        rows = tf.TensorArray(tf.float32, STEPS).unstack(tf.transpose(signal, (1, 0, 2)))

        def step(at: Any, hidden: Any, cell: Any, out: Any) -> Any:
            f, i, o, g = tf.split(tf.concat([rows.read(at), hidden], 1) @ self.alpha + self.beta, 4, 1)
            cell = tf.tanh(g) * tf.sigmoid(i) + cell * tf.sigmoid(f)
            hidden = tf.tanh(cell) * tf.sigmoid(o)
            return at + 1, hidden, cell, out.write(at, hidden)

        state = (0, before, tf.zeros_like(before), tf.TensorArray(tf.float32, STEPS))
        count, hidden, cell, out = tf.while_loop(lambda at, *_: at < STEPS, step, state)
        return {"every": out.stack(), "hidden": hidden, "cell": cell, "count": count}


class AlmostGRU(tf.Module):
    """Looks like a GRU, and is none: the candidate is added to the old state and not weighed against it."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel, self.recurrent = weights(3, 8), weights(4, 8)

    def __call__(self, signal: Any) -> Any:
        def step(hidden: Any, row: Any) -> Any:
            z, r = tf.split(tf.sigmoid(row @ self.kernel + hidden @ self.recurrent), 2, 1)
            return z * hidden + tf.tanh(r * hidden)

        rows = tf.transpose(signal, (1, 0, 2))
        return {"every": tf.scan(step, rows, tf.ones((tf.shape(signal)[0], 4)))}


def gapped(*stack: Any, steps: int | None = STEPS) -> Any:
    """Steps of zeros are masked, wherever they are."""
    return keras.Sequential([layers.Input((steps, 3), name="signal"), layers.Masking(), *stack])


def with_gaps(batch_size: int, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    signal = rng.normal(size=(batch_size, STEPS, 3)) * (rng.random((batch_size, STEPS, 1)) < 0.6)
    signal[-1] = 0 if seed else signal[-1]  # a row of which every step is masked
    return {"signal": signal.astype("float32")}


def masked_sequences() -> Any:
    return gapped(layers.LSTM(4, return_sequences=True), layers.Bidirectional(layers.GRU(3, return_sequences=True)))


def masked_zeros() -> Any:
    cell = layers.GRU(4, reset_after=False, return_sequences=True, zero_output_for_mask=True)
    return gapped(cell, layers.SimpleRNN(3))


def masked_open_time() -> Any:
    return gapped(layers.LSTM(4, return_sequences=True), layers.GRU(3), steps=None)


def stacked_cells() -> Any:
    cells = [layers.LSTMCell(4), layers.GRUCell(3), layers.SimpleRNNCell(2)]
    return keras.Sequential([layers.Input((STEPS, 3)), layers.RNN(cells)])


def stateful_lstm() -> Any:
    stack = [layers.LSTM(4, stateful=True, return_sequences=True), layers.LSTM(3, stateful=True)]
    return keras.Sequential([layers.Input(batch_shape=(2, STEPS, 3)), *stack])


class Counted(tf.Module):
    """Scales by how often it was called, and remembers what it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.calls, self.seen = tf.Variable(0), tf.Variable(tf.zeros((3,)))

    def __call__(self, x: Any) -> Any:
        calls = self.calls.assign_add(1)
        before = self.seen.read_value()
        self.seen.assign(before * 0.5 + tf.reduce_mean(x, 0))
        return {"scaled": x * tf.cast(calls, tf.float32), "before": before, "seen": self.seen.read_value()}


def scan_open_time(x: Any) -> Any:
    return {"running": tf.scan(lambda state, row: 0.5 * state + row, tf.transpose(x, (1, 0, 2)))}


def loop_in_loop(x: Any) -> Any:
    return {"rows": tf.map_fn(lambda rows: tf.scan(lambda state, row: 0.9 * state + row, rows), x)}


def until_small(x: Any) -> Any:
    """A list that grows for as long as the values say."""

    def step(at: Any, y: Any, sums: Any) -> Any:
        return at + 1, y * 0.5, sums.write(at, tf.reduce_sum(y, 1))

    state = (0, tf.abs(x), tf.TensorArray(tf.float32, 0, dynamic_size=True))
    _, _, sums = tf.while_loop(lambda at, y, _: (tf.reduce_sum(y) > 1e-3) & (at < 50), step, state)
    return {"sums": sums.stack()}


def loop_in_branch(x: Any) -> Any:
    def running() -> Any:
        return tf.scan(lambda state, row: 0.5 * state + row, tf.transpose(x, (1, 0, 2)))

    return {"rows": tf.cond(tf.reduce_mean(x) > 0.0, running, lambda: tf.transpose(x, (1, 0, 2)))}


SIGNAL = floats(STEPS, 3)
OWN = {"signal": SIGNAL, "before": floats(4)}
ZOO = (
    Specimen(ModelSpec("own_lstm", OwnLSTM, OWN), "LSTM", fast=True),
    Specimen(ModelSpec("almost_gru", AlmostGRU, {"signal": SIGNAL}), "scan"),
    Specimen(ModelSpec("masked_sequences", seeded(masked_sequences), samples=with_gaps), "masked", fast=True),
    Specimen(ModelSpec("masked_zeros", seeded(masked_zeros), samples=with_gaps), "masked"),
    Specimen(ModelSpec("masked_open_time", seeded(masked_open_time), samples=with_gaps), "masked"),
    Specimen(ModelSpec("stacked_cells", seeded(stacked_cells)), "recurrent cells"),
    Specimen(ModelSpec("stateful_lstm", seeded(stateful_lstm)), "stateful"),
    Specimen(ModelSpec("stateful_counter", Counted, {"x": floats(3)}), "stateful"),
    Specimen(ModelSpec("scan_open_time", lambda: scan_open_time, {"x": floats(None, 3)}), "scan, dynamic time"),
    Specimen(ModelSpec("loop_in_loop", lambda: loop_in_loop, {"x": floats(4, 2)}), "scan"),
    Specimen(ModelSpec("loop_in_branch", lambda: loop_in_branch, {"x": floats(4, 2)}), "cond"),
    Specimen(ModelSpec("until_small", lambda: until_small, {"x": floats(3)}), "tf.while, growing state"),
)
