"""Seeds a training run and stores what it learned, without pickles and without the optimizer's state."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from models._data import weight_file
from toolkit import ModelSpec
from toolkit.core.tensors import Array, Feed


def seed(number: int) -> None:
    """Make the run repeatable: every random number seeded, every operation in a fixed order."""
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(number)
    tf.config.experimental.enable_op_determinism()


def store(name: str, named: list[tuple[str, Array]]) -> None:
    """Write the arrays in their order; the number before a name keeps it."""
    arrays = {f"{at:03d} {label}": array for at, (label, array) in enumerate(named)}
    target = weight_file(name)
    # Beside the target, which others may be reading.
    unfinished = target.with_suffix(".unfinished.npz")
    np.savez_compressed(unfinished, allow_pickle=False, **arrays)
    unfinished.replace(target)


def finish(network: Any, spec: ModelSpec) -> None:
    """Store the weights of a Keras model and say what the stored ones are worth."""
    store(spec.name, [(weight.path, weight.numpy()) for weight in network.weights])
    built = spec.build()  # type: ignore[operator]  # every shipped model is built by a function

    def call(tensors: Mapping[str, Any]) -> Any:
        found = built(next(iter(tensors.values())) if len(tensors) == 1 else tensors)
        return found if isinstance(found, dict) else {built.output_names[0]: found}

    report(spec, call)


def report(spec: ModelSpec, call: Callable[[Mapping[str, Any]], Any]) -> None:
    """Print size and held-out score of what has been stored, called with tensors by name."""
    import tensorflow as tf

    def predict(feed: Feed) -> dict[str, Array]:
        found = call({name: tf.constant(value) for name, value in feed.items()})
        return {name: tensor.numpy() for name, tensor in found.items()}

    score = spec.evaluate(predict) if spec.evaluate else None
    print(f"{spec.name}: held out {score}, {weight_file(spec.name).stat().st_size} bytes")
