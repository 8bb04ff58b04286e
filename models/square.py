"""x squared, with a print that shows when Python runs and when only the graph does."""

from collections.abc import Callable
from typing import Any

import numpy as np

from toolkit import ModelSpec, TensorSpec
from toolkit.core.tensors import Array


def square(x: Any) -> Any:
    """The square of a vector, element by element."""
    print("square: Python is running")  # noqa: T201  # the lesson: a graph says this once, while it is traced
    return x**2


def build() -> Callable[[Any], Any]:
    """A plain function: it has no variables and needs no library."""
    return square


def samples(batch_size: int, seed: int) -> dict[str, Array]:
    """Numbers around zero, of both signs."""
    return {"x": np.random.default_rng(seed).normal(scale=10.0, size=batch_size).astype(np.float32)}


MODEL = ModelSpec(
    name="square",
    build=build,
    inputs={"x": TensorSpec("float32", (None,))},
    samples=samples,
    description="x ** 2 on a vector: the classic first example of eager against graph execution",
)
