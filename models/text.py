"""The language of a sentence: raw strings in, the table of letter groups and the lookup inside the graph."""

from pathlib import Path
from typing import Any

from models._data import LANGUAGES, WEIGHTS, files, restore, sentences
from toolkit import ModelSpec, TensorSpec
from toolkit.core.model import Predict
from toolkit.core.tensors import Array

# A file and not a list: the graph then holds it as an asset, as graphs with large vocabularies do.
VOCABULARY = WEIGHTS / "text_vocabulary.txt"


def front(vocabulary: Path | None) -> Any:
    """The layer that marks which groups of one to three letters a sentence holds."""
    import keras

    return keras.layers.TextVectorization(
        max_tokens=6000,
        standardize="lower_and_strip_punctuation",
        split="character",
        ngrams=(1, 2, 3),
        output_mode="multi_hot",
        vocabulary=None if vocabulary is None else str(vocabulary),
        name="letter_groups",
    )


def network() -> Any:
    """The untrained Keras model around the stored vocabulary."""
    import keras  # late: listing models must not load TensorFlow

    text = keras.Input((), dtype="string", name="text")
    groups = front(VOCABULARY)(text)
    probabilities = keras.layers.Dense(len(LANGUAGES), activation="softmax", name="probabilities")(groups)
    return keras.Model(text, probabilities, name="text")


def build() -> Any:
    """The trained Keras model."""
    return restore(network())


def samples(batch_size: int, seed: int) -> dict[str, Array]:
    """Sentences that training has not seen."""
    return sentences().held_out.draw(batch_size, seed)


def evaluate(predict: Predict) -> float:
    """Accuracy on the held-out sentences."""
    return sentences().held_out.accuracy(predict, "probabilities")


MODEL = ModelSpec(
    name="text",
    build=build,
    inputs={"text": TensorSpec("string", (None,))},
    samples=samples,
    evaluate=evaluate,
    files=(*files("text", "sentences.tsv"), VOCABULARY),
    description=f"which of {len(LANGUAGES)} languages a sentence is in; raw strings in, vectorized in the graph",
)
