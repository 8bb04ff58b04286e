"""The files of the zoo, a family of models each."""

from collections.abc import Iterator
from importlib import import_module

from tests.zoo.specimen import Specimen

FAMILIES = (
    *("dense", "convolutional", "attention", "recurrent", "recurrences", "shaped"),
    *("words", "flow", "indexed", "numeric", "choices"),
)


def specimens() -> Iterator[Specimen]:
    """Every model, family by family; loads TensorFlow."""
    for family in FAMILIES:
        yield from import_module(f"tests.zoo.{family}").ZOO
