"""Decides by the structure of a graph which ops TensorFlow must run before or after a file of numbers."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from toolkit.errors import UnsupportedError
from toolkit.formats.rewrites.flat import Flat
from toolkit.formats.rewrites.kinds import (
    DT_RESOURCE,
    DT_STRING,
    DT_VARIANT,
    SIDE_EFFECTS,
    STRUCTURAL,
    Lacks,
    changes_state,
    computes,
    says_something,
    works,
)
from toolkit.graphs.census import layer_of

# A constant of so many floats is a weight as much as a variable is.
_WEIGHT_ELEMENTS = 256
_HINT = "serve the SavedModel, or move these layers out of the exported model"


@dataclass(frozen=True)
class Cut:
    """Where each op of one graph runs; what is in neither set runs in the file.

    Args:
        front: ops that TensorFlow runs before the file.
        tail: ops that TensorFlow runs after it.
        lacking: op that the format lacks to the types of op that are the reason, in the order of the graph.
    """

    front: frozenset[Any]
    tail: frozenset[Any]
    lacking: Mapping[Any, Collection[str]]

    def named(self, ops: Collection[Any]) -> dict[str, str]:
        """Op type to the layer it first stands in, for those of the ops that the format lacks."""
        found: dict[str, str] = {}
        for op, kinds in self.lacking.items():
            if op in ops:
                for kind in kinds:
                    found.setdefault(kind, layer_of(op.name))
        telling = {kind: layer for kind, layer in found.items() if says_something(kind)}
        return dict(sorted((telling or found).items()))


WHOLE = Cut(frozenset(), frozenset(), {})


@dataclass
class Dependence:
    """What depends on what in a flat graph, which a format is to hold that lacks something."""

    flat: Flat
    lacks: Lacks
    ops: list[Any] = field(init=False)
    given: set[str] = field(init=False)
    consumers: dict[Any, list[Any]] = field(init=False)

    def __post_init__(self) -> None:
        self.ops = in_order(self.flat.graph)
        self.given = {name.partition(":")[0] for name in self.flat.inputs.values()}
        self.consumers = {op: [] for op in self.ops}
        for op in self.ops:
            for source in _sources(op):
                self.consumers[source].append(op)

    @cached_property
    def library(self) -> Mapping[str, Any]:
        """The functions that loops and branches run."""
        return {function.signature.name: function for function in self.flat.graph_def.library.function}

    @cached_property
    def fed(self) -> set[Any]:
        """The ops that depend on an input of the signature; all others can stand in every part.

        Numbers that only TensorFlow can find out, as the size of a table, are as good as an input.
        """
        return self.after(op for op in self.ops if op.name in self.given or (self.lacking(op) and not _is_text(op)))

    def lacking(self, op: Any) -> set[str]:
        """The types of op that are the reason why the format does not have this one; empty where it has."""
        return self.lacks.lacking(op.node_def, self.library)

    @cached_property
    def heavy(self) -> set[Any]:
        """The ops that a model is exported for: those that read weights, and multiplications of matrices."""
        weights = self.after(op for op in self.ops if self._is_weight(op)) - self.fed
        return {
            op
            for op in self.fed
            if works(op.node_def, self.library) or any(source in weights for source in _sources(op))
        }

    def _is_weight(self, op: Any) -> bool:
        if op.type == "Const" or op.name in self.flat.captures:
            external = self.flat.captures.get(op.name)
            if external is not None and id(external) in self.flat.variables:
                return bool(self.flat.variables[id(external)].dtype.is_floating)
            tensor = op.outputs[0]
            return bool(tensor.dtype.is_floating) and (tensor.shape.num_elements() or 0) >= _WEIGHT_ELEMENTS
        return False

    def before(self, ops: Iterable[Any]) -> set[Any]:
        """The ops and everything that they depend on."""
        return _closure(ops, _sources)

    def after(self, ops: Iterable[Any]) -> set[Any]:
        """The ops and everything that depends on them."""
        return _closure(ops, lambda op: self.consumers[op])


def in_order(graph: Any) -> list[Any]:
    """The ops, each after those that it takes from; Grappler leaves them in any order.

    Raises:
        UnsupportedError: TensorFlow 1 drew its loops as circles, which have no order.
    """
    done: dict[Any, None] = {}
    entered: set[Any] = set()
    waiting = list(reversed(graph.get_operations()))
    while waiting:
        op = waiting[-1]
        before = [] if op in entered else [source for source in _sources(op) if source not in done]
        entered.add(op)
        circle = next((source for source in before if source in entered), None)
        if circle is not None:
            raise UnsupportedError(
                f"{circle.type} (layer {layer_of(circle.name)}) is in a loop of TensorFlow 1, which cannot be split",
                hint=_HINT,
            )
        if before:
            waiting += before
        else:
            done[waiting.pop()] = None
    return list(done)


def _sources(op: Any) -> Iterator[Any]:
    return (tensor.op for tensor in op.inputs)


def _closure(ops: Iterable[Any], following: Any) -> set[Any]:
    found: set[Any] = set()
    waiting = list(ops)
    while waiting:
        op = waiting.pop()
        if op not in found:
            found.add(op)
            waiting += following(op)
    return found


def _is_text(op: Any) -> bool:
    """Whether all that an op gives is text."""
    return all(tensor.dtype.as_datatype_enum == DT_STRING for tensor in op.outputs)


def _text_takers(op: Any) -> Iterator[Any]:
    texts = (tensor for tensor in op.outputs if tensor.dtype.as_datatype_enum == DT_STRING)
    return (taker for tensor in texts for taker in tensor.consumers() if taker.type not in SIDE_EFFECTS)


def find_cut(depends: Dependence, also: Collection[str], signature: str) -> Cut | None:
    """Where to cut a graph; None where the format lacks nothing of it.

    Args:
        depends: the graph.
        also: op types that the format's converter turned out not to have.
        signature: its name, for messages.

    Raises:
        UnsupportedError: there is no cut with numbers on it and work behind it.
    """
    return _Cutter(depends, frozenset(also), signature).cut()


@dataclass
class _Cutter:
    depends: Dependence
    also: frozenset[str]
    signature: str

    def cut(self) -> Cut | None:
        lacking = self._lacking()
        if not lacking:
            return None
        front, tail = self._sides(lacking)
        reasons = {op: self._reasons(op) for op in self.depends.ops if op in lacking}
        found = Cut(frozenset(front), frozenset(tail), reasons)
        self._refuse(found)
        return found

    def _reasons(self, op: Any) -> list[str]:
        return sorted(self.depends.lacking(op) or {op.type})

    def _lacking(self) -> set[Any]:
        depends = self.depends
        wanted = {
            op
            for op in depends.before(depends.flat.graph.get_tensor_by_name(name).op for name in self._outputs)
            if op.name not in depends.given and (op in depends.fed or self._given_out(op))
        }
        lacking = {op for op in wanted if op.type in self.also or depends.lacking(op)}
        # No runtime but TensorFlow takes bytes as they are, not even where it could move them about.
        given = (op for op in depends.ops if op.name in depends.given)
        return lacking | (_closure([*lacking, *given], _text_takers) & wanted)

    @property
    def _outputs(self) -> list[str]:
        return list(self.depends.flat.outputs.values())

    def _given_out(self, op: Any) -> bool:
        """A constant that is an output; any other is made where it is needed."""
        return any(tensor.name in self._outputs for tensor in op.outputs)

    def _sides(self, lacking: set[Any]) -> tuple[set[Any], set[Any]]:
        depends = self.depends
        behind_work, before_work = depends.after(depends.heavy), depends.before(depends.heavy)
        late = {op for op in lacking if op in behind_work and op not in before_work}
        self._refuse_numbers(late)
        tail = depends.after(late)
        self._take_shapes_along(tail)
        front = self._fed_before(lacking - late)
        # What no file can take as its input is taken from the front by TensorFlow, too.
        while pulled := {op for op in self._takers(front) if op not in front | tail}:
            front |= self._fed_before(pulled)
        return front, tail - front

    def _fed_before(self, ops: Iterable[Any]) -> set[Any]:
        found = self.depends.before(ops)
        return {op for op in found if op in self.depends.fed and op.name not in self.depends.given} | (found & set(ops))

    def _takers(self, front: set[Any]) -> Iterator[Any]:
        for op in front:
            for tensor in op.outputs:
                if tensor.dtype.as_datatype_enum in {DT_STRING, DT_VARIANT, DT_RESOURCE}:
                    yield from (taker for taker in tensor.consumers() if taker.type not in SIDE_EFFECTS)

    def _take_shapes_along(self, tail: set[Any]) -> None:
        """What only computes a shape for the tail goes with it: the file then ends at what the shape is taken of."""
        depends = self.depends
        for op in reversed(depends.ops):
            takers = depends.consumers[op]
            whole = all(tensor.dtype.is_integer for tensor in op.outputs)
            movable = op.type in STRUCTURAL and op in depends.fed and op.name not in depends.given
            if movable and whole and takers and not self._given_out(op) and all(taker in tail for taker in takers):
                tail.add(op)

    def _refuse_numbers(self, late: set[Any]) -> None:
        """Text may follow a file of numbers; numbers that TensorFlow would have to finish are no export."""
        for op in late:
            if op.type in self.also:
                layer = layer_of(op.name)
                raise UnsupportedError(
                    f"{self.depends.lacks.label} has no {op.type} (layer {layer}) of '{self.signature}'", hint=_HINT
                )

    def _refuse(self, cut: Cut) -> None:
        depends, label = self.depends, self.depends.lacks.label
        ops = ", ".join(f"{op} (layer {layer})" for op, layer in cut.named(cut.lacking).items())
        start = f"{label} has no {ops} of '{self.signature}'"
        # What writes gives nothing, so that no part would take it along, nor keep it in its order.
        kept = next((op for op in depends.ops if changes_state(op.node_def, depends.library)), None)
        if kept is not None:
            raise UnsupportedError(f"{start}, and {kept.type} (layer {layer_of(kept.name)}) keeps state", hint=_HINT)
        work = next((op for op in depends.ops if op in cut.front and op in depends.heavy), None)
        if work is not None:
            layer = layer_of(work.name)
            raise UnsupportedError(f"{start}, and {work.type} (layer {layer}) computes what they need", hint=_HINT)
        wanted = depends.before(depends.flat.graph.get_tensor_by_name(name).op for name in self._outputs)
        back = (wanted & depends.fed) - cut.front - cut.tail
        if not any(op in depends.heavy if self.also else computes(op.node_def) for op in back):
            raise UnsupportedError(f"{start}, and apart from them nothing is left to compute", hint=_HINT)
