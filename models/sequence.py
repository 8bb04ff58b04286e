"""The language of a sentence, letter by letter: a masked embedding and a recurrent layer."""

from collections.abc import Iterator
from typing import Any

from models._data import LANGUAGES, TOKENS, alphabet, files, letters, restore
from toolkit import ModelSpec, TensorSpec
from toolkit.core.model import Predict
from toolkit.core.tensors import Array


def network() -> Any:
    """The untrained Keras model."""
    import keras  # late: listing models must not load TensorFlow

    tokens = keras.Input((TOKENS,), dtype="int32", name="tokens")
    x = keras.layers.Embedding(len(alphabet()) + 2, 24, mask_zero=True, name="embedding")(tokens)
    x = keras.layers.LSTM(64, name="lstm")(x)
    probabilities = keras.layers.Dense(len(LANGUAGES), activation="softmax", name="probabilities")(x)
    return keras.Model(tokens, probabilities, name="sequence")


def build() -> Any:
    """The trained Keras model."""
    return restore(network())


def samples(batch_size: int, seed: int) -> dict[str, Array]:
    """Sentences that training has not seen, of many lengths."""
    return letters().held_out.draw(batch_size, seed)


def calibration() -> Iterator[dict[str, Array]]:
    """Sentences that training has seen."""
    return letters().train.singles(200)


def evaluate(predict: Predict) -> float:
    """Accuracy on the held-out sentences."""
    return letters().held_out.accuracy(predict, "probabilities")


MODEL = ModelSpec(
    name="sequence",
    build=build,
    inputs={"tokens": TensorSpec("int32", (None, TOKENS))},
    samples=samples,
    calibration=calibration,
    evaluate=evaluate,
    files=files("sequence", "sentences.tsv"),
    description=f"which of {len(LANGUAGES)} languages {TOKENS} letters are in; masked embedding and LSTM",
)
