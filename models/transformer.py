"""The language of a sentence by a small encoder: self-attention over its letters and an exact GELU."""

from collections.abc import Iterator
from typing import Any

from models._data import LANGUAGES, TOKENS, alphabet, files, letters, restore
from toolkit import ModelSpec, TensorSpec
from toolkit.core.model import Predict
from toolkit.core.tensors import Array

BLOCKS = 2
WIDTH = 64
HEADS = 4


def network() -> Any:
    """The untrained Keras model."""
    import keras  # late: listing models must not load TensorFlow

    tokens = keras.Input((TOKENS,), dtype="int32", name="tokens")
    letter = keras.layers.Embedding(len(alphabet()) + 2, WIDTH, name="letter")(tokens)
    group = keras.layers.Conv1D(WIDTH, 3, padding="same", activation=exact_gelu, name="group")(letter)
    # From the tokens, though they do not matter: a layer called on a constant is computed while the model is built,
    # and its weights are no part of the model. Subtracted, since Keras turns such a sum into BiasAdd on integers.
    places = keras.ops.subtract(keras.ops.arange(TOKENS), keras.ops.zeros_like(tokens))
    place = keras.layers.Embedding(TOKENS, WIDTH, name="place")(places)
    x = keras.layers.Dropout(0.2, name="dropout")(keras.layers.Add(name="group_at_place")([group, place]))
    # By hand, since a convolution drops the mask that an embedding would pass on. The first place always counts:
    # an empty sentence would have a mean of nothing, which is no number.
    used = keras.ops.logical_or(keras.ops.not_equal(tokens, 0), keras.ops.equal(places, 0))
    for at in range(1, BLOCKS + 1):
        x = _block(x, used, at)
    x = keras.layers.LayerNormalization(name="normalization")(x)
    x = keras.layers.GlobalAveragePooling1D(name="sentence")(x, mask=used)
    probabilities = keras.layers.Dense(len(LANGUAGES), activation="softmax", name="probabilities")(x)
    return keras.Model(tokens, probabilities, name="transformer")


def _block(x: Any, used: Any, at: int) -> Any:
    from keras import layers

    normal = layers.LayerNormalization(name=f"attention_normalization_{at}")(x)
    attention = layers.MultiHeadAttention(HEADS, WIDTH // HEADS, name=f"attention_{at}")
    attended = attention(normal, normal, attention_mask=used[:, None, :])
    x = layers.Add(name=f"attended_{at}")([x, layers.Dropout(0.2, name=f"attention_dropout_{at}")(attended)])
    wide = layers.LayerNormalization(name=f"wide_normalization_{at}")(x)
    wide = layers.Dense(2 * WIDTH, activation=exact_gelu, name=f"wide_{at}")(wide)
    narrow = layers.Dense(WIDTH, name=f"narrow_{at}")(wide)
    return layers.Add(name=f"block_{at}")([x, layers.Dropout(0.2, name=f"dropout_{at}")(narrow)])


def exact_gelu(x: Any) -> Any:
    """GELU by the error function, not by its approximation."""
    import keras

    return keras.activations.gelu(x, approximate=False)


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
    name="transformer",
    build=build,
    inputs={"tokens": TensorSpec("int32", (None, TOKENS))},
    samples=samples,
    calibration=calibration,
    evaluate=evaluate,
    files=files("transformer", "sentences.tsv"),
    description=f"which of {len(LANGUAGES)} languages {TOKENS} letters are in; two blocks of attention with exact GELU",
)
