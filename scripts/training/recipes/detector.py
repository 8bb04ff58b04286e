"""Trains models/detector.py on canvases of training digits."""

from typing import Any

import numpy as np

from models._data import digits
from models._scenes import SIZE, Scenes, scenes
from models.detector import CLASSES, MODEL, REACH, cell_middles, module, raw, shapes
from scripts.training.weights import report, seed, store
from toolkit.core.tensors import Array

SCENES = 4000
EPOCHS = 14
BATCH = 50
# Only cells this near the middle of a box, in halves of it, are to find it.
CORE = 0.45


def train() -> None:
    """Fit scores with a focal loss, since nearly all cells are empty, and sides where there is a digit."""
    import keras
    import tensorflow as tf

    seed(5)
    rng = np.random.default_rng(5)
    model = module(initial(rng))
    truth = scenes(digits().train, SCENES, 5)
    wanted, sides = targets(truth)
    steps = keras.optimizers.schedules.CosineDecay(3e-3, decay_steps=EPOCHS * SCENES // BATCH)
    optimizer = keras.optimizers.Adam(steps)
    optimizer.build(model.weights)

    @tf.function
    def step(image: Any, scores: Any, distances: Any) -> Any:
        with tf.GradientTape() as tape:
            error = loss(raw(model.weights, image), scores, distances)
        optimizer.apply_gradients(zip(tape.gradient(error, model.weights), model.weights, strict=True))
        return error

    for epoch in range(EPOCHS):
        order = rng.permutation(SCENES).reshape(-1, BATCH)
        errors = [float(step(truth.images[at], wanted[at], sides[at])) for at in order]
        print(f"epoch {epoch + 1}/{EPOCHS} - loss: {np.mean(errors):.4f}")
    names = [name for name, _ in shapes()]
    store("detector", [(name, weight.numpy()) for name, weight in zip(names, model.weights, strict=True)])
    built = MODEL.build()  # type: ignore[operator]  # every shipped model is built by a function
    report(MODEL, lambda tensors: built.detect(**tensors))


def initial(rng: np.random.Generator) -> list[Array]:
    """Random kernels that keep the variance; scores start low, as most cells are empty."""
    found = [
        rng.normal(scale=np.sqrt(2.0 / np.prod(shape[:-1])) if len(shape) > 1 else 0.0, size=shape).astype(np.float32)
        for _, shape in shapes()
    ]
    found[-1][:CLASSES] = -4.0
    found[-1][CLASSES:] = 1.0
    return found


def targets(truth: Scenes) -> tuple[Array, Array]:
    """For every cell the classes it should find, and the distances to the sides of its digit."""
    middles = cell_middles()
    scores = np.zeros((len(truth.images), len(middles), CLASSES), dtype=np.float32)
    sides = np.zeros((len(truth.images), len(middles), 4), dtype=np.float32)
    for scene, place in zip(*np.nonzero(truth.classes >= 0), strict=True):
        low, high = truth.boxes[scene, place, :2], truth.boxes[scene, place, 2:]
        # A narrow digit still needs a cell: the core is no smaller than one.
        reach = np.maximum(CORE * (high - low) / 2, 2.0 / SIZE)
        inside = np.all(np.abs(middles - (low + high) / 2) <= reach, axis=1)
        scores[scene, inside, truth.classes[scene, place]] = 1.0
        sides[scene, inside] = np.concatenate([middles[inside] - low, high - middles[inside]], axis=1) / REACH
    return scores, sides


def loss(found: tuple[Any, Any], scores: Any, distances: Any) -> Any:
    """Focal loss of the scores, and absolute error of the sides, per cell that holds a digit."""
    import tensorflow as tf

    logits, sides = found
    entropy = tf.nn.sigmoid_cross_entropy_with_logits(scores, logits)
    missed = tf.abs(scores - tf.sigmoid(logits))
    weight = 0.25 + 0.5 * scores
    held = tf.reduce_max(scores, axis=-1, keepdims=True)
    count = tf.maximum(tf.reduce_sum(held), 1.0)
    return (tf.reduce_sum(weight * missed**2 * entropy) * 2 + tf.reduce_sum(held * tf.abs(sides - distances))) / count
