"""A model of the zoo: its spec, and what each format is expected to make of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from toolkit import ModelSpec, TensorSpec

PASS = "pass"


@dataclass(frozen=True)
class Specimen:
    """One model, small and with seeded random weights.

    Args:
        spec: how it is built and called.
        family: the class of models that it stands for.
        fails: format to a part of the reason why it is skipped; a format that is not named must pass.
        fast: whether the usual run of the tests builds it.
    """

    spec: ModelSpec
    family: str
    fails: Mapping[str, str] = field(default_factory=dict)
    fast: bool = False

    @property
    def name(self) -> str:
        """The model's name, which no other has."""
        return self.spec.name


def floats(*shape: int | None) -> TensorSpec:
    """A float32 input whose batch is open."""
    return TensorSpec("float32", (None, *shape))


def seeded(build: Callable[[], Any]) -> Callable[[], Any]:
    """The factory with the same random weights each time."""

    def built() -> Any:
        import keras

        keras.utils.set_random_seed(7)
        return build()

    return built
