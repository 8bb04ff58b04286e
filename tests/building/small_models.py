"""Models of a few weights, each with one thing that exporters get wrong."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from toolkit import ModelSpec, Signature, TensorSpec

ROWS = TensorSpec("float32", (None, 2))
WORDS = ["alpha", "beta", "gamma", "delta"]


def dense() -> Any:
    """One dense layer whose weights are known: its rows are 1 x + 2 y and 3 x + 4 y."""
    model = keras.Sequential([keras.layers.Input((2,), name="x"), keras.layers.Dense(2, name="y")])
    model.layers[-1].set_weights([np.array([[1, 3], [2, 4]], "float32"), np.zeros(2, "float32")])
    return model


DENSE = ModelSpec("dense", build=dense)


def trained() -> Any:
    """Trained for one step: it has an optimizer's state and moving averages beside its weights."""
    keras.utils.set_random_seed(1)
    layers = [keras.layers.Input((256,)), keras.layers.Dense(256), keras.layers.BatchNormalization()]
    model = keras.Sequential([*layers, keras.layers.Dropout(0.5), keras.layers.Dense(2)])
    model.compile("adam", "mse")
    model.fit(np.ones((4, 256)), np.ones((4, 2)), verbose=0)
    return model


TRAINED = ModelSpec("trained", build=trained)


def grouped() -> Any:
    """Keras compiles its convolution with XLA, which servers have switched off."""
    keras.utils.set_random_seed(1)
    image = keras.layers.Input((4, 4, 4))
    return keras.Sequential([image, keras.layers.Conv2D(4, 3, groups=2), keras.layers.Flatten()])


GROUPED = ModelSpec("grouped", build=grouped)


def words(vocabulary: Path) -> ModelSpec:
    """Looks words up in a table made from a file, alone and in sentences."""

    def build() -> Any:
        vocabulary.write_text("\n".join(WORDS) + "\n")
        word = keras.Input((1,), dtype="string", name="word")
        sentence = keras.Input((1,), dtype="string", name="sentence")
        at = keras.layers.StringLookup(vocabulary=str(vocabulary), name="at")(word)
        found = keras.layers.TextVectorization(
            output_mode="int", output_sequence_length=3, vocabulary=str(vocabulary), name="found"
        )
        return keras.Model([word, sentence], {"at": at, "found": found(sentence)})

    return ModelSpec("words", build=build, samples=_some_words)


def _some_words(batch_size: int, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    known = np.array([*WORDS, "unknown"], dtype=object)
    sentences = [[" ".join(rng.choice(known, 3))] for _ in range(batch_size)]
    return {"word": rng.choice(known, (batch_size, 1)), "sentence": np.array(sentences, dtype=object)}


class Counter(tf.Module):
    """Counts its calls in a variable."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = tf.Variable(0.0)

    def __call__(self, x: Any) -> dict[str, Any]:
        return {"calls": self.calls.assign_add(1.0), "double": x * 2}

    def double(self, x: Any) -> dict[str, Any]:
        return {"double": x * 2}


COUNTER = ModelSpec("counter", build=Counter, inputs={"x": ROWS})
SHARED_COUNTER = ModelSpec(
    "shared_counter",
    build=Counter,
    signatures={"serving_default": Signature({"x": ROWS}), "double": Signature({"x": ROWS}, call="double")},
)


def recurrent() -> Any:
    """Keeps its state from one batch to the next, as Keras does it."""
    keras.utils.set_random_seed(1)
    steps = keras.layers.Input(batch_shape=(2, 3, 2))
    return keras.Sequential([steps, keras.layers.GRU(2, stateful=True)])


RECURRENT = ModelSpec("recurrent", build=recurrent)


class Generator(tf.Module):
    """Random numbers from a generator, whose state is a variable."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = tf.random.Generator.from_seed(1)

    def __call__(self, x: Any) -> dict[str, Any]:
        return {"noise": x + self.generator.normal(tf.shape(x))}


GENERATOR = ModelSpec("generator", build=Generator, inputs={"x": ROWS})


def noisy(x: Any) -> dict[str, Any]:
    return {"noise": x + tf.random.normal(tf.shape(x)), "double": x * 2}


NOISY = ModelSpec("noisy", build=lambda: noisy, inputs={"x": ROWS})


def centred(x: Any) -> Any:
    return x - tf.reduce_mean(x, 0)


CENTRED = ModelSpec("centred", build=lambda: centred, inputs={"x": ROWS})


def logarithm(x: Any) -> dict[str, Any]:
    return {"log": tf.math.log(x)}


LOGARITHM = ModelSpec("logarithm", build=lambda: logarithm, inputs={"x": ROWS})


def summed(x: Any) -> Any:
    return tf.reduce_sum(x, axis=1)


RAGGED = ModelSpec("ragged", build=lambda: summed, inputs={"x": tf.RaggedTensorSpec([None, None], tf.float32)})


def summed_sparse(x: Any) -> Any:
    return tf.reduce_sum(tf.sparse.to_dense(x), axis=1)


SPARSE = ModelSpec("sparse", build=lambda: summed_sparse, inputs={"x": tf.SparseTensorSpec([None, 4], tf.float32)})
