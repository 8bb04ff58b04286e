"""Dense networks: sequential, functional with several inputs and dict outputs, subclassed, and by hand."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tests.zoo.specimen import Specimen, floats, seeded
from toolkit import ModelSpec

layers = keras.layers


def mlp() -> Any:
    return keras.Sequential([layers.Input((8,)), layers.Dense(16, activation="gelu"), layers.Dense(3)])


def dict_outputs() -> Any:
    wide, deep = keras.Input((4,), name="wide"), keras.Input((6,), name="deep")
    hidden = layers.Dense(8, activation="selu")(deep)
    joined = layers.Concatenate()([wide, hidden])
    score = layers.Dense(1, activation="sigmoid")(joined)
    return keras.Model({"wide": wide, "deep": deep}, {"score": score, "hidden": hidden, "wide_too": wide * 2})


class Perceptron(keras.Model):
    """Subclassed, with layers in a list and other names."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = [layers.Dense(12, activation="elu", name=f"zeta{at}") for at in range(3)]
        self.drop = layers.Dropout(0.5)

    def call(self, q: Any, training: bool = False) -> Any:
        for layer in self.stack:
            q = self.drop(layer(q), training=training)
        return {"answer": q, "norm": tf.norm(q, axis=-1)}


class ByHand(tf.Module):
    """Raw variables and raw ops, exact GELU included."""

    def __init__(self) -> None:
        super().__init__()
        rng = np.random.default_rng(3)
        self.first = tf.Variable(rng.normal(size=(8, 16)).astype(np.float32))
        self.second = tf.Variable(rng.normal(size=(16, 4)).astype(np.float32))

    def __call__(self, rows: Any) -> Any:
        hidden = tf.nn.gelu(rows @ self.first, approximate=False)
        return {"logits": hidden @ self.second, "erf": tf.math.erf(hidden[:, :3]), "tail": tf.math.erfc(rows * 3)}


class Configured(tf.Module):
    """Takes Python arguments beside its tensors."""

    @tf.function
    def score(self, x: Any, power: int = 2, *, mode: str = "sum", scale: float = 0.5) -> Any:
        powered = tf.pow(x, power) * scale
        return tf.reduce_sum(powered, 1) if mode == "sum" else tf.reduce_mean(powered, 1)

    def __call__(self, x: Any) -> Any:
        return {"sum": self.score(x), "mean": self.score(x, 3, mode="mean", scale=2.0)}


ZOO = (
    Specimen(ModelSpec("mlp_gelu", seeded(mlp)), "dense", fast=True),
    Specimen(ModelSpec("dict_outputs", seeded(dict_outputs)), "dict outputs"),
    Specimen(ModelSpec("subclassed_perceptron", seeded(Perceptron), {"q": floats(5)}), "dense"),
    Specimen(ModelSpec("dense_by_hand", ByHand, {"rows": floats(8)}), "dense", fast=True),
    Specimen(ModelSpec("python_arguments", Configured, {"x": floats(4)}), "Python arguments"),
)
