"""Trains models/text.py: its vocabulary, then its one dense layer."""

from models._data import sentences
from models.text import MODEL, VOCABULARY, front, network
from scripts.training.weights import finish, seed


def train() -> None:
    """Learn the vocabulary from training sentences only, then fit on what the graph's own front makes of them."""
    import keras
    import tensorflow as tf

    seed(2)
    rows = sentences().train
    texts = tf.constant(rows.columns["text"].tolist())
    learner = front(None)
    learner.adapt(texts)
    tokens = learner.get_vocabulary(include_special_tokens=False)
    VOCABULARY.write_text("".join(f"{token}\n" for token in tokens), encoding="utf-8")
    model = network()
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy")
    model.fit(texts, rows.labels, batch_size=32, epochs=25, verbose=2)
    finish(model, MODEL)
