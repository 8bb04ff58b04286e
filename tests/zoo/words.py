"""Inputs of text and of serialized examples: vocabularies, hashes, buckets, tf.Example and JPEG."""

import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tests.zoo.specimen import Specimen, seeded
from toolkit import ModelSpec, TensorSpec

layers = keras.layers
WORDS = ("alpha", "beta", "gamma", "delta", "epsilon")
TEXT = TensorSpec("string", (None, 1))


def drawn(batch_size: int, seed: int) -> Any:
    return np.random.default_rng(seed).choice(np.array([*WORDS, "unknown"], dtype=object), (batch_size, 1))


def word(batch_size: int, seed: int) -> dict[str, Any]:
    return {"word": drawn(batch_size, seed)}


def sentence(batch_size: int, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {"text": np.array([[" ".join(rng.choice(WORDS, 4)) + "!"] for _ in range(batch_size)], dtype=object)}


def text_vectorization() -> Any:
    text = keras.Input((1,), dtype="string", name="text")
    tokens = layers.TextVectorization(vocabulary=list(WORDS), output_sequence_length=5)(text)
    x = layers.GlobalAveragePooling1D()(layers.Embedding(8, 4)(tokens))
    return keras.Model(text, layers.Dense(2)(x))


def bag_of_words() -> Any:
    text = keras.Input((1,), dtype="string", name="text")
    counts = layers.TextVectorization(vocabulary=list(WORDS), output_mode="multi_hot")(text)
    return keras.Model(text, layers.Dense(2)(counts))


def string_lookup() -> Any:
    source = keras.Input((1,), dtype="string", name="word")
    at = layers.StringLookup(vocabulary=list(WORDS), output_mode="one_hot")(source)
    return keras.Model(source, layers.Dense(2)(at))


def integer_lookup() -> Any:
    source = keras.Input((2,), dtype="int64", name="code")
    at = layers.IntegerLookup(vocabulary=[2, 3, 5, 7, 11])(source)
    return keras.Model(source, layers.Dense(2)(layers.Flatten()(layers.Embedding(6, 3)(at))))


def codes(batch_size: int, seed: int) -> dict[str, Any]:
    return {"code": np.random.default_rng(seed).integers(0, 13, (batch_size, 2))}


def hashing() -> Any:
    source = keras.Input((1,), dtype="string", name="word")
    at = layers.Hashing(num_bins=6)(source)
    return keras.Model(source, layers.Dense(2)(layers.Flatten()(layers.Embedding(6, 3)(at))))


def integer_hashing() -> Any:
    source = keras.Input((2,), dtype="int64", name="code")
    at = layers.Hashing(num_bins=6, salt=17)(source)
    return keras.Model(source, layers.Dense(2)(layers.Flatten()(layers.Embedding(6, 3)(at))))


def discretization() -> Any:
    source = keras.Input((3,), name="age")
    bucket = layers.Discretization(bin_boundaries=[-1.0, 0.0, 0.5, 2.0])(source)
    crowd = layers.CategoryEncoding(5, output_mode="multi_hot")(bucket)
    return keras.Model(source, layers.Dense(2)(crowd))


class Vocabulary(tf.Module):
    """A table made from a vocabulary file, with buckets for what is not in it."""

    def __init__(self) -> None:
        super().__init__()
        # The file must outlive this call: the table is made from it when the model is saved.
        path = Path(tempfile.gettempdir()) / "tfx-export-zoo-vocabulary.txt"
        path.write_text("\n".join(WORDS) + "\n")
        index = tf.lookup.TextFileIndex
        made = tf.lookup.TextFileInitializer(str(path), tf.string, index.WHOLE_LINE, tf.int64, index.LINE_NUMBER)
        self.table = tf.lookup.StaticVocabularyTable(made, num_oov_buckets=2)
        self.rows = tf.Variable(np.random.default_rng(1).normal(size=(7, 3)).astype(np.float32))

    def __call__(self, word: Any) -> Any:
        at = self.table.lookup(word)
        return {"at": at, "vector": tf.gather(self.rows, at)}


class Examples(tf.Module):
    """Serialized tf.Examples into a score."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = tf.Variable(np.random.default_rng(1).normal(size=(4, 2)).astype(np.float32))

    def __call__(self, examples: Any) -> Any:
        parsed = tf.io.parse_example(
            examples,
            {
                "x": tf.io.FixedLenFeature((3,), tf.float32),
                "k": tf.io.FixedLenFeature((1,), tf.int64, default_value=[2]),
            },
        )
        return {"score": tf.concat([parsed["x"], tf.cast(parsed["k"], tf.float32)], 1) @ self.weights}


def serialized(batch_size: int, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(batch_size):
        feature = {"x": tf.train.Feature(float_list=tf.train.FloatList(value=rng.normal(size=3)))}
        if rng.random() < 0.5:
            feature["k"] = tf.train.Feature(int64_list=tf.train.Int64List(value=[int(rng.integers(9))]))
        made.append(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())
    return {"examples": np.array(made, dtype=object)}


class Photographs(tf.Module):
    """Encoded JPEGs into the means of their colours."""

    def __call__(self, jpeg: Any) -> Any:
        pixels = tf.map_fn(decoded, jpeg, fn_output_signature=tf.TensorSpec((8, 8, 3), tf.float32))
        return {"colour": tf.reduce_mean(pixels, [1, 2])}


def decoded(content: Any) -> Any:
    return tf.ensure_shape(tf.image.resize(tf.io.decode_jpeg(content, channels=3), (8, 8)), (8, 8, 3))


def photographs(batch_size: int, seed: int) -> dict[str, Any]:
    pixels = np.random.default_rng(seed).integers(0, 256, (batch_size, 12, 10, 3), dtype=np.uint8)
    return {"jpeg": np.array([tf.io.encode_jpeg(one).numpy() for one in pixels], dtype=object)}


ROW_OF_TEXT = TensorSpec("string", (None,))
ZOO = (
    Specimen(ModelSpec("text_vectorization", seeded(text_vectorization), samples=sentence), "TextVectorization"),
    Specimen(ModelSpec("bag_of_words", seeded(bag_of_words), samples=sentence), "TextVectorization"),
    Specimen(ModelSpec("string_lookup", seeded(string_lookup), samples=word), "StringLookup"),
    Specimen(ModelSpec("integer_lookup", seeded(integer_lookup), samples=codes), "IntegerLookup"),
    Specimen(ModelSpec("hashing", seeded(hashing), samples=word), "Hashing"),
    Specimen(ModelSpec("integer_hashing", seeded(integer_hashing), samples=codes), "Hashing"),
    Specimen(ModelSpec("discretization", seeded(discretization)), "Discretization"),
    Specimen(ModelSpec("vocabulary_file", Vocabulary, {"word": TEXT}, samples=word), "vocabulary file"),
    Specimen(ModelSpec("tf_example", Examples, {"examples": ROW_OF_TEXT}, samples=serialized), "tf.Example"),
    Specimen(ModelSpec("jpeg", Photographs, {"jpeg": ROW_OF_TEXT}, samples=photographs), "JPEG"),
)
