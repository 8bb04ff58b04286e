"""Splits what a format lacks (text, tables, parsers, ragged tensors) from the numbers that it can hold.

The file of a signature then begins, and where labels are looked up ends, at numeric tensors. What stands around it is
a small SavedModel beside the file; a runtime of this toolkit runs both as one step.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from toolkit.core.model import DEFAULT_SIGNATURE, TracedModel
from toolkit.core.split import FOLDER, POSTPROCESS, PREPROCESS, Part, Split, part_name, write_split
from toolkit.core.tensors import Feed, Signature, TensorSpec, dtype_name
from toolkit.errors import UnsupportedError
from toolkit.formats.rewrites.borders import Border, Borders
from toolkit.formats.rewrites.cut import WHOLE, Cut, Dependence, find_cut
from toolkit.formats.rewrites.flat import flatten, part_of
from toolkit.formats.rewrites.kinds import SIDE_EFFECTS, Lacks, changes_state
from toolkit.formats.rewrites.ragged import TABLE as RAGGED
from toolkit.formats.rewrites.served_graph import clean
from toolkit.formats.rewrites.tables import without_small_tables
from toolkit.formats.saved_model import write
from toolkit.graphs.census import layer_of, nodes_of

Export = Callable[[TracedModel, Path], Sequence[str] | None]


def export_split(traced: TracedModel, directory: Path, lacks: Lacks, export: Export) -> list[str]:
    """Exports the numeric part of every signature, and beside it what only TensorFlow can run; gives the notes.

    Where the converter turns out to lack further ops, those that stand before all weights go to TensorFlow as well.

    Args:
        traced: the whole model.
        directory: where the artifact's files go.
        lacks: what the format is known not to have.
        export: writes the files of a model that the format can hold.

    Raises:
        UnsupportedError: the format cannot hold the model, split or not.
    """
    also: frozenset[str] = frozenset()
    first: UnsupportedError | None = None
    while True:
        try:
            splitting = _Splitting(traced, lacks, also)
            notes = list(export(splitting.backs, directory) or ())
        except UnsupportedError as error:
            first = first or error
            if not error.ops - also:
                raise first from None
            also |= error.ops
        else:
            return [*splitting.write(directory), *notes]


@dataclass(frozen=True)
class _Splitting:
    """All signatures of a model, those that need it in parts."""

    traced: TracedModel
    lacks: Lacks
    also: Collection[str]

    @cached_property
    def pieces(self) -> dict[str, "_Pieces"]:
        """Signature to its parts, for those that are split."""
        found = {}
        fixed = not any(changes_state(node, {}) for name in self.traced.functions for node in self._nodes(name))
        for name, function in self.traced.functions.items():
            lacking = set().union(*(self.lacks.lacking(node, {}) for node in self._nodes(name)))
            # Ragged numbers alone need no part of their own; what their rewrite cannot do comes back in `also`.
            ragged = RAGGED.keys() & lacking and lacking <= {*RAGGED, *SIDE_EFFECTS, "Const"}  # text in asserts
            if self.also or (lacking and not ragged):
                flat = flatten(function)
                flat, notes = without_small_tables(flat, self.lacks) if fixed else (flat, [])
                depends = Dependence(flat, self.lacks)
                cut = find_cut(depends, self.also, name)
                if cut is not None or notes:
                    found[name] = _Pieces(name, self.lacks.label, depends, cut or WHOLE, tuple(notes))
        return found

    def _nodes(self, name: str) -> list[Any]:
        return [node for _, node in nodes_of(self.traced.functions[name].graph.as_graph_def())]

    @property
    def backs(self) -> TracedModel:
        """The model without what TensorFlow runs."""
        if not self.pieces:
            return self.traced
        functions, signatures = dict(self.traced.functions), dict(self.traced.signatures)
        cut = {}
        for name, pieces in self.pieces.items():
            part = pieces.split.back
            functions[name], signatures[name] = pieces.functions[name], Signature(part.inputs, part.outputs)
            whole = self.traced.signatures[name]
            cut[name] = frozenset({*part.inputs, *part.outputs} - {*whole.inputs, *whole.outputs})
        feeds = [self._behind_the_front(feed) for feed in self.traced.calibration]
        return replace(self.traced, functions=functions, signatures=signatures, saved=None, cut=cut, calibration=feeds)

    def _behind_the_front(self, feed: Feed) -> Feed:
        """What the default signature's file gets of a feed, to calibrate it with."""
        pieces = self.pieces.get(DEFAULT_SIGNATURE)
        return feed if pieces is None else pieces.behind_the_front(feed)

    def write(self, directory: Path) -> list[str]:
        """Writes what TensorFlow runs beside the files, and how it all goes together; gives a note each."""
        around = {
            key: function
            for name, pieces in self.pieces.items()
            for key, function in pieces.functions.items()
            if key != name
        }
        if around:
            write(replace(self.traced, functions=around), directory / FOLDER)
            clean(directory / FOLDER, dict.fromkeys(around, "predict"))
        notes = []
        for name, pieces in self.pieces.items():
            if len(pieces.split.parts) > 1:
                write_split(directory, name, pieces.split)
                notes.append(pieces.split.describe(name))
            notes += [note for note in pieces.notes if note not in notes]
        return notes


@dataclass(frozen=True)
class _Pieces:
    """The parts of one signature as functions."""

    name: str
    label: str
    depends: Dependence
    cut: Cut
    notes: tuple[str, ...]

    @cached_property
    def _borders(self) -> dict[str, Border]:
        borders = Borders(self.depends, self.cut)
        found = {
            part_name(PREPROCESS, self.name): borders.front,
            self.name: borders.back,
            part_name(POSTPROCESS, self.name): borders.tail,
        }
        for tensor in borders.back.inputs.values():
            self._refuse_odd(tensor)
        return {name: border for name, border in found.items() if border is not None}

    def _refuse_odd(self, tensor: Any) -> None:
        kind = getattr(tensor.dtype, "name", "")
        if tensor.shape.rank is not None and kind not in {"variant", "resource"}:
            return
        what = "has no known rank" if tensor.shape.rank is None else f"is a {kind}"
        raise UnsupportedError(
            f"{self.label} needs '{self.name}' split before {tensor.op.type} (layer {layer_of(tensor.op.name)}), "
            f"and what comes out there {what}",
            hint="give that tensor a shape with tf.ensure_shape, or serve the SavedModel",
        )

    @cached_property
    def functions(self) -> dict[str, Any]:
        """Part's name to tf ConcreteFunction; the file is called like the signature."""
        return {
            name: part_of(
                self.depends.flat,
                border.inputs,
                {key: tensor.name for key, tensor in border.outputs.items()},
                border.also,
            )
            for name, border in self._borders.items()
        }

    def behind_the_front(self, feed: Feed) -> Feed:
        """The feed of the file for a feed of the signature."""
        front = self.split.front
        made: dict[str, Any] = {}
        if front is not None and set(front.inputs) <= set(feed):
            import tensorflow as tf

            given = {name: tf.constant(feed[name], spec.dtype) for name, spec in front.inputs.items()}
            made = {name: tensor.numpy() for name, tensor in self.functions[front.signature](**given).items()}
        known = {**made, **feed}
        return {name: known[name] for name in self.split.back.inputs if name in known}

    @cached_property
    def split(self) -> Split:
        """What runs where."""
        kinds = {part_name(PREPROCESS, self.name): self.cut.front, part_name(POSTPROCESS, self.name): self.cut.tail}
        parts = {
            name: Part(name, *self._specs(name), self.cut.named(kinds.get(name, frozenset())))
            for name in self.functions
        }
        front, tail = (parts.get(name) for name in kinds)
        flat = self.depends.flat
        return Split(parts[self.name], front, tail, tuple(flat.inputs), tuple(flat.outputs))

    def _specs(self, name: str) -> tuple[dict[str, TensorSpec], dict[str, TensorSpec]]:
        inputs = {key: _spec(tensor) for key, tensor in self._borders[name].inputs.items()}
        outputs = {key: _spec(tensor) for key, tensor in self.functions[name].structured_outputs.items()}
        # A table's answers have the shape of its questions, which only the traced graph still knows.
        known = {key: _spec(tensor) for key, tensor in self._borders[name].outputs.items()}
        return inputs, {key: spec if known[key].shape is None else known[key] for key, spec in outputs.items()}


def _spec(tensor: Any) -> TensorSpec:
    shape = None if tensor.shape.rank is None else tuple(tensor.shape.as_list())
    return TensorSpec(dtype_name(tensor.dtype), shape)
