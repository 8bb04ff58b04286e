"""Says of a model, before any conversion, what each format will make of it: op by op, with its rewrites and sizes."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from toolkit.building.machine import available_bytes
from toolkit.core.model import TracedModel
from toolkit.core.plugins import FORMATS, Format
from toolkit.errors import UnsupportedError
from toolkit.formats.rewrites.frozen import freeze
from toolkit.formats.rewrites.kinds import says_something
from toolkit.formats.rewrites.rewrite import rewrites_for
from toolkit.graphs.census import count_ops, layers_of, ops_by_type
from toolkit.graphs.resources import resources_of

# What is to be expected, from good to bad.
WHOLE, REWRITTEN, SPLIT, UNCERTAIN, NO = "as it is", "after rewrites", "in parts", "uncertain", "no"
# Bytes of a stored weight by variant, against four in float32.
_SIZES = {"float16": 0.5, "dynamic": 0.25, "int8": 0.25, "int16x8": 0.25}
# What reads variables, which are constants before a converter sees the graph.
_FROZEN = frozenset({"VarHandleOp", "ReadVariableOp", "ResourceGather"})
_WORSE = (WHOLE, REWRITTEN, SPLIT, UNCERTAIN, NO)


@dataclass(frozen=True)
class Prospect:
    """What one format is expected to make of one signature.

    Args:
        outlook: as it is, after rewrites, in parts, uncertain or no.
        ops: op type to how often, as the converter would meet them.
        rewrites: names of the rewrites that have something to do, in order.
        notes: what these will change, in their words.
        stays: op type to layer, of what TensorFlow will run beside the file.
        unknown: op type to layer, of what the converter is not known to take.
        reason: why not, where the answer is no.
    """

    outlook: str
    ops: dict[str, int] = field(default_factory=dict)
    rewrites: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    stays: dict[str, str] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)
    reason: str = ""


@dataclass(frozen=True)
class FormatOutlook:
    """What one format is expected to make of a model.

    Args:
        name: the artifact's name.
        signatures: name to prospect.
        size_bytes: of the file, about: the weights as the format stores them.
        memory_bytes: that making it will take, about.
        problems: why it will not be made whatever the ops.
    """

    name: str
    signatures: dict[str, Prospect]
    size_bytes: int
    memory_bytes: int
    problems: tuple[str, ...] = ()

    @property
    def outlook(self) -> str:
        """The worst of its signatures'."""
        if self.problems:
            return NO
        return max((one.outlook for one in self.signatures.values()), key=_WORSE.index, default=WHOLE)

    def to_json(self) -> dict[str, Any]:
        """The same as a document."""
        return {**asdict(self), "outlook": self.outlook}


@dataclass(frozen=True)
class ModelOutlook:
    """A traced model and what formats will make of it."""

    model: str
    ops: int
    weight_bytes: int
    formats: tuple[FormatOutlook, ...]

    def to_json(self) -> dict[str, Any]:
        """The same as a document."""
        return {
            "model": self.model,
            "ops": self.ops,
            "weight_bytes": self.weight_bytes,
            "formats": [one.to_json() for one in self.formats],
        }


def outlook_of(traced: TracedModel, formats: Sequence[str] = ()) -> ModelOutlook:
    """What formats (all without a choice) are expected to make of a traced model; converts nothing."""
    weight_bytes = resources_of(traced.functions).variable_bytes
    free = available_bytes()
    plugins = [FORMATS.load(name) for name in formats or FORMATS.names()]
    return ModelOutlook(
        traced.spec.name,
        sum(count_ops(function) for function in traced.functions.values()),
        weight_bytes,
        tuple(_format(plugin, traced, weight_bytes, free) for plugin in plugins),
    )


def _format(plugin: Format, traced: TracedModel, weight_bytes: int, free: int | None) -> FormatOutlook:
    size, memory = (
        int(weight_bytes * plugin.size_factor * _SIZES.get(plugin.variant, 1.0)),
        int(weight_bytes * plugin.memory_factor),
    )
    problems = []
    if plugin.weight_limit_bytes is not None and weight_bytes > plugin.weight_limit_bytes:
        problems.append(
            f"its file holds {plugin.weight_limit_bytes:,} bytes of weights, the model has {weight_bytes:,}"
        )
    if free is not None and memory > free:
        problems.append(f"making it takes about {memory:,} bytes of memory, {free:,} are to be had")
    signatures = {name: prospect(plugin, function, name) for name, function in traced.functions.items()}
    return FormatOutlook(plugin.name, signatures, size, memory, tuple(problems))


def prospect(plugin: Format, function: Any, signature: str) -> Prospect:
    """What one format is expected to make of one concrete function."""
    plugin = _by_kind(plugin)
    graph_def = function.graph.as_graph_def()
    ops = dict(ops_by_type(graph_def).most_common())
    if plugin.takes is None:
        return Prospect(WHOLE, ops)
    stays = set(plugin.lacking(graph_def)) if plugin.lacking is not None else set()
    if stays:
        # Rewrites come after the split, and see only the part that the format holds.
        unknown = _unknown(plugin, graph_def, stays)
        told = {op for op in stays if says_something(op)}
        return Prospect(SPLIT, ops, stays=_at(graph_def, told or stays), unknown=unknown)
    try:
        frozen = freeze(function, signature)
        names, start = [], len(frozen.notes)
        for rewrite in rewrites_for(plugin.opened_as):
            if rewrite.wanted(frozen.graph_def):
                names.append(rewrite.name)
                frozen = rewrite.apply(frozen)
    except UnsupportedError as error:
        return Prospect(NO, ops, reason=f"{error.message}; {error.hint}")
    left = dict(ops_by_type(frozen.graph_def).most_common())
    unknown = _unknown(plugin, frozen.graph_def, set())
    outlook = UNCERTAIN if unknown else REWRITTEN if names else WHOLE
    return Prospect(outlook, left, tuple(names), tuple(frozen.notes[start:]), unknown=unknown)


def _by_kind(plugin: Format) -> Format:
    """A variant of a format, such as a quantized one, holds the ops of its kind."""
    if plugin.takes is not None or plugin.opened_as == plugin.name or plugin.opened_as not in FORMATS.names():
        return plugin
    return FORMATS.load(plugin.opened_as)


def _unknown(plugin: Format, graph_def: Any, stays: set[str]) -> dict[str, str]:
    assert plugin.takes is not None
    bodies = {function.signature.name for function in graph_def.library.function}
    unknown = ops_by_type(graph_def).keys() - set(plugin.takes()) - stays - bodies - _FROZEN
    return _at(graph_def, unknown)


def _at(graph_def: Any, ops: set[str]) -> dict[str, str]:
    """Op type to the layer that it first stands in."""
    found = layers_of(graph_def, *sorted(ops)) if ops else {}
    return {op: layer for op, layer in found.items() if op in ops}
