"""Turns the committed data and weight files into rows that models are sampled, calibrated and evaluated with."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.core.model import Predict
from toolkit.core.tensors import Array, Feed, as_array

HERE = Path(__file__).resolve().parent
DATA = HERE / "data"
WEIGHTS = HERE / "weights"
LANGUAGES = ("de", "el", "en", "es", "fi", "fr", "it", "nl", "pl", "pt", "ru", "sv", "tr")
TOKENS = 48
# One feed of all held-out rows would ask for much memory of the convolutional models.
EVALUATED_AT_ONCE = 50


def weight_file(name: str) -> Path:
    """Where the trained weights of a model are."""
    return WEIGHTS / f"{name}.npz"


def files(name: str, data: str) -> tuple[Path, ...]:
    """What else defines a model: its weights, its data, and this reader of both."""
    return (weight_file(name), DATA / data, Path(__file__).resolve())


def stored_weights(name: str) -> list[Array]:
    """The trained arrays of a model in the order of its variables."""
    with np.load(weight_file(name), allow_pickle=False) as stored:
        return [stored[key] for key in sorted(stored.files)]


def restore(network: Any) -> Any:
    """The Keras model with the weights that scripts/train.py stored under its name."""
    network.set_weights(stored_weights(network.name))
    return network


@dataclass(frozen=True)
class Rows:
    """Named columns of equal length, and the class of each row."""

    columns: Feed
    labels: Array

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, picked: Any) -> dict[str, Array]:
        """The rows at these places as a feed."""
        return {name: column[picked] for name, column in self.columns.items()}

    def draw(self, batch_size: int, seed: int) -> dict[str, Array]:
        """A seeded feed of this many rows; none comes twice while there are enough."""
        rng = np.random.default_rng(seed)
        return self.take(rng.choice(len(self), batch_size, replace=batch_size > len(self)))

    def singles(self, count: int) -> Iterator[dict[str, Array]]:
        """Seeded feeds of one row each, as converters want them for calibration."""
        for at in np.random.default_rng(0).choice(len(self), count, replace=False):
            yield self.take(slice(at, at + 1))

    def accuracy(self, predict: Predict, output: str) -> float:
        """Share of rows whose largest score in this output is at their class."""
        hits = 0
        for start in range(0, len(self), EVALUATED_AT_ONCE):
            rows = slice(start, start + EVALUATED_AT_ONCE)
            hits += int(np.sum(predict(self.take(rows))[output].argmax(axis=-1) == self.labels[rows]))
        return hits / len(self)


@dataclass(frozen=True)
class Split:
    """Rows to train and calibrate with, and rows held out from both."""

    train: Rows
    held_out: Rows


def split(columns: Feed, labels: Array, held_out: Array) -> Split:
    """The two parts that a mask over the rows makes."""
    parts = (Rows({name: column[mask] for name, column in columns.items()}, labels[mask]) for mask in _both(held_out))
    return Split(*parts)


def _both(held_out: Array) -> tuple[Array, Array]:
    return ~held_out, held_out


@cache
def digits() -> Split:
    """Handwritten digits as `image`, 28x28 values from 0 to 1."""
    with np.load(DATA / "digits.npz", allow_pickle=False) as stored:
        images = resized(stored["images"].astype(np.float32) / 16.0, 28)
        return split({"image": images}, stored["labels"].astype(np.int64), stored["held_out"])


@cache
def sentences() -> Split:
    """Sentences as `text`, UTF-8 bytes; the class is the place of the language in LANGUAGES."""
    lines = (DATA / "sentences.tsv").read_text(encoding="utf-8").splitlines()
    parts, languages, texts = zip(*(line.split("\t") for line in lines), strict=True)
    labels = np.array([LANGUAGES.index(language) for language in languages])
    text = as_array(texts, "string")
    return split({"text": text}, labels, np.array([part == "held_out" for part in parts]))


@cache
def alphabet() -> dict[str, int]:
    """Token of each letter that training knows; 0 is padding and 1 any other letter."""
    texts = sentences().train.columns["text"]
    letters = sorted(set("".join(text.decode().lower() for text in texts)))
    return {letter: at for at, letter in enumerate(letters, start=2)}


def encoded(texts: Iterable[str]) -> Array:
    """A row of TOKENS letters for each text, cut off or padded with 0 at the end."""
    known = alphabet()
    rows = [[known.get(letter, 1) for letter in text.lower()[:TOKENS]] for text in texts]
    return np.array([row + [0] * (TOKENS - len(row)) for row in rows], dtype=np.int32)


@cache
def letters() -> Split:
    """The sentences as `tokens`, one for each of their first letters."""
    train, rest = (
        Rows({"tokens": encoded(text.decode() for text in part.columns["text"])}, part.labels)
        for part in (sentences().train, sentences().held_out)
    )
    # Sentences that differ only further on begin alike.
    seen = {row.tobytes() for row in train.columns["tokens"]}
    unseen = np.array([row.tobytes() not in seen for row in rest.columns["tokens"]])
    return Split(train, Rows(rest.take(unseen), rest.labels[unseen]))


def resized(images: Array, size: int) -> Array:
    """Square images at another size, bilinear with half-pixel centres, as tf.image.resize does it."""
    weights = _interpolation(images.shape[1], size)
    return np.asarray(np.einsum("oi,bij,pj->bop", weights, images, weights, optimize=True), dtype=np.float32)


def _interpolation(size_in: int, size_out: int) -> Array:
    places = np.clip((np.arange(size_out) + 0.5) * size_in / size_out - 0.5, 0, size_in - 1)
    below = np.minimum(places.astype(int), size_in - 2)
    weights = np.zeros((size_out, size_in), dtype=np.float32)
    weights[np.arange(size_out), below] = 1.0 - (places - below)
    weights[np.arange(size_out), below + 1] = places - below
    return weights
