"""Gives a converter that reads SavedModels one for each signature, rewritten where its graph needs it."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from toolkit.core.model import TracedModel
from toolkit.formats.rewrites.frozen import freeze
from toolkit.formats.rewrites.resaved import resave, with_batch
from toolkit.formats.rewrites.rewrite import needs_rewriting, rewritten
from toolkit.formats.saved_model import write
from toolkit.graphs.census import STATE_WRITES, layers_of


@dataclass(frozen=True)
class Source:
    """What a converter reads for one signature.

    Args:
        saved: a SavedModel that holds the signature.
        function: its concrete function, which says what is in it where a conversion goes wrong.
        notes: what was rewritten.
    """

    saved: Path
    function: Any
    notes: tuple[str, ...] = ()


@contextmanager
def sources(
    traced: TracedModel, kind: str, directory: Path, without: Collection[str] = ()
) -> Iterator[Mapping[str, Source]]:
    """The source of every signature for one kind of format; copies are below `directory` until the context ends.

    Args:
        traced: the model.
        kind: the rewrites of which kind of format it goes through.
        directory: where copies are made.
        without: rewrites that this format does not want.
    """
    with TemporaryDirectory(dir=directory) as folder:
        saved = traced.saved
        found = {}
        for at, (name, function) in enumerate(traced.functions.items()):
            fixed = traced.settings.fixed_batch
            if fixed is not None or _rewritable(function, kind, without):
                frozen = rewritten(freeze(function, name), kind, without)
                frozen = frozen if fixed is None else with_batch(frozen, _batched(traced, name), fixed)
                own = Path(folder) / str(at)
                found[name] = Source(own, resave(frozen, name, own), frozen.notes)
                continue
            if saved is None:
                # From functions the converter would save one, under another signature's name.
                saved = Path(folder) / "saved_model"
                write(traced, saved)
            found[name] = Source(saved, function)
        yield found


def _batched(traced: TracedModel, name: str) -> list[str]:
    """The inputs whose first dimension counts the rows of a batch."""
    inputs, cut = traced.signatures[name].inputs, traced.cut.get(name, frozenset())
    return [key for key, spec in inputs.items() if spec.batched and key not in cut]


def _rewritable(function: Any, kind: str, without: Collection[str]) -> bool:
    """A graph that keeps state is converted with its variables, which freezing would take away."""
    graph_def = function.graph.as_graph_def()
    return needs_rewriting(graph_def, kind, without) and not layers_of(graph_def, *STATE_WRITES)
