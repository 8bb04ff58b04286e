"""What a rewrite is, and which of them a graph goes through on its way to a format."""

import importlib
import pkgutil
from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from typing import Any

from toolkit.formats.rewrites.frozen import Frozen


class Stage(IntEnum):
    """When a rewrite has its turn; those of one stage go by name.

    TYPES changes dtypes of the whole graph, CONTROL takes loops and branches apart, OPS replaces ops that a format
    lacks, SPEED replaces what a format has by what it runs faster.
    """

    TYPES = 1
    CONTROL = 2
    OPS = 3
    SPEED = 4


@dataclass(frozen=True)
class Rewrite:
    """A change of a graph that makes a format possible or faster, the answers being the same.

    It looks at ops and how they are joined, never at the names of layers. Its artifact passes the gate of every other.

    Args:
        name: its file's name.
        formats: the kinds that need it (`Format.opened_as`).
        stage: when it has its turn.
        wanted: whether a GraphDef (variables and functions may still be in it) holds what this changes. Cheap.
        apply: the changed graph, with a note that names op and layer; the same graph where nothing could be changed.
            Raises UnsupportedError only where no converter could do it either.
    """

    name: str
    formats: tuple[str, ...]
    stage: Stage
    wanted: Callable[[Any], bool]
    apply: Callable[[Frozen], Frozen]


@cache
def rewrites_for(kind: str) -> tuple[Rewrite, ...]:
    """The rewrites of one kind of format, in order: each file of this package that ends in REWRITE."""
    package = __name__.rpartition(".")[0]
    folder = importlib.import_module(package).__path__
    modules = [importlib.import_module(f"{package}.{module.name}") for module in pkgutil.iter_modules(folder)]
    found: list[Rewrite] = [module.REWRITE for module in modules if hasattr(module, "REWRITE")]
    return tuple(sorted((one for one in found if kind in one.formats), key=lambda one: (one.stage, one.name)))


def needs_rewriting(graph_def: Any, kind: str, without: Collection[str] = ()) -> bool:
    """Whether any rewrite but those named has something to do in the graph as it was traced."""
    return any(rewrite.wanted(graph_def) for rewrite in rewrites_for(kind) if rewrite.name not in without)


def rewritten(frozen: Frozen, kind: str, without: Collection[str] = ()) -> Frozen:
    """The graph after all rewrites of a kind of format but those named; its notes say what they changed."""
    for rewrite in rewrites_for(kind):
        if rewrite.name not in without and rewrite.wanted(frozen.graph_def):
            frozen = rewrite.apply(frozen)
    return frozen
