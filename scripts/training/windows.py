"""Cuts training sentences anew in every epoch, since there are few and the models see only their first letters."""

from collections.abc import Iterator

import numpy as np

from models._data import TOKENS, encoded, sentences
from toolkit.core.tensors import Array

# A window of fewer letters hardly tells a language.
FEWEST = 16


def epochs(count: int, seed: int) -> Iterator[tuple[Array, Array]]:
    """Tokens and classes of every training sentence, each time from another word on and of another length."""
    rng = np.random.default_rng(seed)
    rows = sentences().train
    texts = [text.decode() for text in rows.columns["text"]]
    for _ in range(count):
        yield encoded(_window(text, rng) for text in texts), rows.labels


def _window(text: str, rng: np.random.Generator) -> str:
    if rng.random() < 0.5:
        return text
    starts = [0, *(at + 1 for at, letter in enumerate(text) if letter == " " and len(text) - at > FEWEST)]
    start = starts[int(rng.integers(len(starts)))]
    return text[start : start + int(rng.integers(FEWEST, TOKENS + 1))]
