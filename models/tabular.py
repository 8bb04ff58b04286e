"""Species and weight of a penguin from named strings, integers and floats, or from serialized tf.Example rows."""

import csv
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

from models._data import DATA, Rows, Split, files, restore, split
from toolkit import ModelSpec, Signature, TensorSpec
from toolkit.core.model import Predict
from toolkit.core.tensors import Array, as_array

SPECIES = ("Adelie", "Chinstrap", "Gentoo")
ISLANDS = ("Biscoe", "Dream", "Torgersen")
SEXES = ("female", "male")
FEATURES = {
    "study": "string",
    "island": "string",
    "sex": "string",
    "bill_length_mm": "float32",
    "bill_depth_mm": "float32",
    "flipper_length_mm": "int64",
}
TARGET = "body_mass_g"


@cache
def penguins() -> Split:
    """The penguins by feature, with their weight; the class is the place of the species in SPECIES."""
    with (DATA / "penguins.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    dtypes = {**FEATURES, TARGET: "float32"}
    columns = {name: _column([row[name] for row in rows], dtype) for name, dtype in dtypes.items()}
    labels = np.array([SPECIES.index(row["species"]) for row in rows])
    return split(columns, labels, np.array([row["part"] == "held_out" for row in rows]))


def _column(cells: list[str], dtype: str) -> Array:
    return as_array(cells if dtype == "string" else [float(cell) for cell in cells], dtype)


def network() -> Any:
    """The untrained Keras model."""
    import keras  # late: listing models must not load TensorFlow

    inputs = {name: keras.Input((), dtype=dtype, name=name) for name, dtype in FEATURES.items()}
    # Hashing takes a scalar row for a batch when Keras infers shapes, so every input becomes a column first.
    columns = {name: keras.layers.Reshape((1,), name=f"{name}_column")(column) for name, column in inputs.items()}
    # Studies to come have names that nobody knows yet, so they are hashed; an unknown island or sex has a place.
    parts = [
        keras.layers.Hashing(8, output_mode="one_hot", name="study_hash")(columns["study"]),
        keras.layers.StringLookup(vocabulary=ISLANDS, output_mode="one_hot", name="island_code")(columns["island"]),
        keras.layers.StringLookup(vocabulary=SEXES, output_mode="one_hot", name="sex_code")(columns["sex"]),
        *(_normalized(name, columns[name]) for name, dtype in FEATURES.items() if dtype != "string"),
    ]
    x = keras.layers.Concatenate(name="features")(parts)
    x = keras.layers.Dense(32, activation="relu", name="hidden")(x)
    _, mean, deviation = _moments(TARGET)
    outputs = {
        "probabilities": keras.layers.Dense(len(SPECIES), activation="softmax", name="probabilities")(x),
        TARGET: keras.layers.Rescaling(deviation, mean, name=TARGET)(keras.layers.Dense(1, name="mass")(x)),
    }
    return keras.Model(inputs, outputs, name="tabular")


def _normalized(name: str, column: Any) -> Any:
    import keras

    variance, mean, _ = _moments(name)
    return keras.layers.Normalization(axis=None, mean=mean, variance=variance, name=f"{name}_normal")(column)


def _moments(name: str) -> tuple[float, float, float]:
    column = penguins().train.columns[name].astype(np.float64)
    return float(column.var()), float(column.mean()), float(column.std())


def build() -> Any:
    """The trained Keras model."""
    return restore(network())


def classify(model: Any, inputs: Any) -> dict[str, Any]:
    """Every species with its score, for rows given as serialized tf.Example."""
    import tensorflow as tf

    scores = _parsed(model, inputs)["probabilities"]
    return {"classes": tf.tile(tf.constant([SPECIES]), [tf.shape(scores)[0], 1]), "scores": scores}


def regress(model: Any, inputs: Any) -> dict[str, Any]:
    """The weight in grams, for rows given as serialized tf.Example."""
    return {"outputs": _parsed(model, inputs)[TARGET]}


def _parsed(model: Any, inputs: Any) -> Any:
    import tensorflow as tf

    wanted = {
        # An unknown sex may be left out of a row; a number may not.
        name: tf.io.FixedLenFeature([], dtype, default_value="" if dtype == "string" else None)
        for name, dtype in FEATURES.items()
    }
    return model(tf.io.parse_example(inputs, wanted))


def samples(batch_size: int, seed: int) -> dict[str, Array]:
    """Penguins that training has not seen, by feature."""
    return _features(penguins().held_out.draw(batch_size, seed))


def serialized_samples(batch_size: int, seed: int) -> dict[str, Array]:
    """The same penguins, each as the bytes of a tf.Example."""
    feed = samples(batch_size, seed)
    rows = [example({name: column[at] for name, column in feed.items()}) for at in range(batch_size)]
    return {"inputs": as_array(rows, "string")}


def _features(feed: Mapping[str, Array]) -> dict[str, Array]:
    return {name: feed[name] for name in FEATURES}


def example(row: Mapping[str, Any]) -> bytes:
    """One row as a serialized tf.Example (tensorflow/core/example/feature.proto), without loading TensorFlow."""
    entries = (_field(1, _field(1, name.encode()) + _field(2, _feature(value))) for name, value in row.items())
    return _field(1, b"".join(entries))


def _feature(value: Any) -> bytes:
    if isinstance(value, bytes):
        return _field(1, _field(1, value))
    if isinstance(value, np.floating):
        return _field(2, _field(1, np.asarray(value, dtype="<f4").tobytes()))
    return _field(3, _field(1, _varint(int(value))))


def _field(number: int, payload: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(payload)) + payload


def _varint(value: int) -> bytes:
    left = value & 0xFFFF_FFFF_FFFF_FFFF  # a negative int64 is written as its two's complement
    found = bytearray()
    while left > 0x7F:
        found.append(left & 0x7F | 0x80)
        left >>= 7
    return bytes([*found, left])


def evaluate(predict: Predict) -> dict[str, float]:
    """On the held-out penguins: accuracy of the species, and the share of the variance of the weight explained."""
    rows = penguins().held_out
    features = Rows(_features(rows.columns), rows.labels)
    actual = predict(features.take(slice(None)))[TARGET].reshape(-1)
    expected = rows.columns[TARGET]
    unexplained = float(np.mean((actual - expected) ** 2) / np.var(expected))
    return {"accuracy": features.accuracy(predict, "probabilities"), "mass_r2": 1.0 - unexplained}


SERIALIZED = {"inputs": TensorSpec("string", (None,))}
MODEL = ModelSpec(
    name="tabular",
    build=build,
    signatures={
        "serving_default": Signature({name: TensorSpec(dtype, (None,)) for name, dtype in FEATURES.items()}),
        "classify": Signature(SERIALIZED, method="classify", call=classify),
        "regress": Signature(SERIALIZED, method="regress", call=regress),
    },
    samples={"serving_default": samples, "classify": serialized_samples, "regress": serialized_samples},
    evaluate=evaluate,
    files=files("tabular", "penguins.csv"),
    description="species and weight of a penguin from six named columns; predict, classify and regress",
)
