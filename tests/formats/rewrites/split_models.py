"""Models of text, tables, parsers and ragged tensors in front of a few weights, and labels behind them."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from toolkit import ModelSpec, TensorSpec

WORDS = ("alpha", "beta", "gamma")
TEXT, CODE, ROW = TensorSpec("string", (None,)), TensorSpec("int64", (None,)), TensorSpec("float32", (None, 3))


def noise(*shape: int) -> Any:
    return np.random.default_rng(3).normal(size=shape).astype(np.float32)


def words(batch_size: int, seed: int) -> dict[str, Any]:
    return {"text": np.random.default_rng(seed).choice(np.array([*WORDS, "Delta"], object), batch_size)}


def functional() -> Any:
    text = keras.Input((), dtype="string", name="text")
    at = keras.layers.StringLookup(vocabulary=list(WORDS))(text)
    keras.utils.set_random_seed(3)
    return keras.Model(text, keras.layers.Dense(2)(keras.layers.Embedding(4, 5)(at)))


class Subclassed(keras.Model):
    """The same with other names, and its layers called in other places."""

    def __init__(self) -> None:
        super().__init__(name="omega")
        self.psi = keras.layers.StringLookup(vocabulary=list(WORDS), name="kappa")
        self.chi = keras.layers.Embedding(4, 5, name="tau")

    def call(self, text: Any) -> Any:
        return self.chi(self.psi(text))


class ByHand(tf.Module):
    """The same of raw ops."""

    def __init__(self) -> None:
        super().__init__()
        made = tf.lookup.KeyValueTensorInitializer(tf.constant(WORDS), tf.range(1, 4, dtype=tf.int64))
        self.places = tf.lookup.StaticHashTable(made, 0)
        self.rows = tf.Variable(noise(4, 5))

    def __call__(self, text: Any) -> Any:
        return {"y": tf.nn.relu(tf.gather(self.rows, self.places.lookup(text)))}


class Labelled(tf.Module):
    """Text in, and the text of the best class out; what it checks and passes on is no work for a file."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = tf.Variable(noise(300, 4))
        made = tf.lookup.KeyValueTensorInitializer(tf.range(4, dtype=tf.int64), tf.constant(["a", "b", "c", "d\u00e9"]))
        self.names = tf.lookup.StaticHashTable(made, "?")

    def __call__(self, text: Any, x: Any, unused: Any) -> Any:
        tf.debugging.assert_less(tf.strings.length(text), 100, message="too long")
        scores = tf.gather(self.rows, tf.strings.to_hash_bucket_fast(tf.strings.upper(text), 300)) * x[:, None]
        best = self.names.lookup(tf.argmax(scores, -1))
        return {"scores": scores, "label": best, "text": text, "x": tf.nn.relu(x), "rows": tf.shape(text)[0]}


def labelled(batch_size: int, seed: int) -> dict[str, Any]:
    ones = np.ones(batch_size, np.float32)
    return {**words(batch_size, seed), "x": ones + 1, "unused": ones}


class Numbered(tf.Module):
    """A table of whole numbers."""

    def __init__(self) -> None:
        super().__init__()
        keys = tf.constant([7, -3, 2**40], tf.int64)
        made = tf.lookup.KeyValueTensorInitializer(keys, tf.constant([1, 2, 3], tf.int64))
        self.places = tf.lookup.StaticHashTable(made, 0)
        self.rows = tf.Variable(noise(4, 5))

    def __call__(self, code: Any) -> Any:
        at = self.places.lookup(code)
        return {"at": at, "y": tf.gather(self.rows, at) * tf.cast(self.places.size(), tf.float32)}


def codes(batch_size: int, seed: int) -> dict[str, Any]:
    return {"code": np.random.default_rng(seed).choice(np.array([7, -3, 2**40, 5, 0]), batch_size)}


class Learning(Numbered):
    """Its table grows with every call."""

    def __init__(self) -> None:
        super().__init__()
        self.places: Any = tf.lookup.experimental.MutableHashTable(tf.int64, tf.int64, 0)

    def __call__(self, code: Any) -> Any:
        self.places.insert(code, tf.ones_like(code))
        return {"y": tf.gather(self.rows, self.places.lookup(code))}


class Pictures(tf.Module):
    """Encoded images, one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = tf.Variable(noise(3, 2))

    def __call__(self, png: Any) -> Any:
        shape = tf.TensorSpec((4, 4, 3), tf.uint8)
        pixels = tf.map_fn(
            lambda one: tf.ensure_shape(tf.io.decode_png(one, 3), (4, 4, 3)), png, fn_output_signature=shape
        )
        return {"y": tf.reduce_mean(tf.cast(pixels, tf.float32), [1, 2]) @ self.weights}


def pictures(batch_size: int, seed: int) -> dict[str, Any]:
    pixels = np.random.default_rng(seed).integers(0, 256, (batch_size, 4, 4, 3), dtype=np.uint8)
    return {"png": np.array([tf.io.encode_png(one).numpy() for one in pixels], dtype=object)}


class Spelled(tf.Module):
    """Numbers, then text of them, then numbers again."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = tf.Variable(noise(3, 4))

    def __call__(self, x: Any) -> Any:
        spelled = tf.strings.as_string(tf.argmax(x @ self.weights, -1))
        return {"y": tf.strings.to_number(spelled)[:, None] @ self.weights[:1]}


def upper(text: Any) -> Any:
    return {"upper": tf.strings.upper(text)}


def spec(name: str, build: Callable[[], Any], samples: Any = None, **inputs: TensorSpec) -> ModelSpec:
    return ModelSpec(name, build, inputs, samples=samples)


FUNCTIONAL = spec("functional", functional, words, text=TEXT)
SUBCLASSED = spec("subclassed", Subclassed, words, text=TEXT)
BY_HAND = spec("by_hand", ByHand, words, text=TEXT)
NUMBER = TensorSpec("float32", (None,))
LABELLED = spec("labelled", Labelled, labelled, text=TEXT, x=NUMBER, unused=NUMBER)
NUMBERED = spec("numbered", Numbered, codes, code=CODE)
LEARNING = spec("learning", Learning, codes, code=CODE)
PICTURES = spec("pictures", Pictures, pictures, png=TEXT)
SPELLED = spec("spelled", Spelled, x=ROW)
UPPER = spec("upper", lambda: upper, words, text=TEXT)
