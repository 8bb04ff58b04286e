"""Copies a frozen graph op by op into a new one, where an op may become others: what most rewrites are made of."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from toolkit.formats.rewrites.folding import Folder
from toolkit.formats.rewrites.frozen import Frozen

# What an op becomes: its new outputs, or None to copy it as it is. `None` in place of an output: nobody may use it.
Replacement = Callable[["Step"], Sequence[Any] | None]


@dataclass(frozen=True)
class Step:
    """One op of the old graph at its turn.

    Args:
        op: the tf.Operation of the old graph; its shapes are known there as well.
        inputs: what its inputs became: tensors of the new graph, or what another replacement gave in their place.
        tracing: the copying as a whole.
    """

    op: Any
    inputs: tuple[Any, ...]
    tracing: "Tracing"

    @property
    def type(self) -> str:
        """The op's type."""
        return str(self.op.type)

    def attr(self, name: str) -> Any:
        """An attribute's value."""
        return self.op.get_attr(name)


@dataclass
class Tracing:
    """The new graph while it grows; it is the current graph of whatever a replacement builds.

    Args:
        graph: where the ops go.
        replacements: op type to what it becomes.
        notes: what was changed, in words.
        library: the graph that holds the old functions, where it is another one.
    """

    graph: Any
    replacements: Mapping[str, Replacement]
    notes: list[str] = field(default_factory=list)
    folder: Folder = field(default_factory=Folder)
    library: Any = None
    _bodies: dict[str, Any] = field(default_factory=dict)
    _made: dict[Any, tuple[tuple[Any, ...], Any, tuple[Any, ...]]] = field(default_factory=dict)

    def note(self, text: str) -> None:
        """Says once what was changed."""
        if text not in self.notes:
            self.notes.append(text)

    @property
    def size(self) -> int:
        """How many ops the new graph has."""
        return int(self.graph.num_operations())

    def within(self, graph: Any) -> "Tracing":
        """The same for a function's graph inside this one, which may use the tensors of this one."""
        folder, library = Folder(self.folder), self.library or self.graph
        return Tracing(graph, self.replacements, self.notes, folder, library, self._bodies)

    def call(self, name: str, arguments: Sequence[Any]) -> list[Any]:
        """What a function of the graph's library gives for these arguments, its ops written into the new graph."""
        body = self.body(name)
        values = {tensor.name: value for tensor, value in zip(body.inputs, arguments, strict=True)}
        self.run(body.get_operations(), values)
        return [values[tensor.name] for tensor in body.outputs]

    def body(self, name: str) -> Any:
        """A function of the library as a graph of its own."""
        from tensorflow.python.framework.function_def_to_graph import function_def_to_graph

        if name not in self._bodies:
            library = self.library or self.graph
            definition = library._get_function(name).cached_definition
            with library.as_default():
                self._bodies[name] = function_def_to_graph(definition)
        return self._bodies[name]

    def run(self, operations: Sequence[Any], values: dict[str, Any]) -> None:
        """Carries out ops in their order; `values` maps the old tensors' names to the new values, and grows."""
        for op in operations:
            if op.outputs and op.outputs[0].name in values:
                continue  # given from outside
            # Control inputs are left out: a frozen graph changes nothing, so that order has no meaning.
            step = Step(op, tuple(values[tensor.name] for tensor in op.inputs), self)
            for tensor, value in zip(op.outputs, self.outputs(step), strict=True):
                values[tensor.name] = value

    def outputs(self, step: Step) -> Sequence[Any]:
        """What an op becomes: its replacement, else its copy."""
        replacement = self.replacements.get(step.type)
        if replacement is not None:
            with self.graph.name_scope(f"{step.op.name}/"):  # what takes its place is of the same layer
                outputs = replacement(step)
            if outputs is not None:
                return outputs
        return self.copy(step)

    def copy(self, step: Step) -> tuple[Any, ...]:
        """The op itself on its new inputs; an op that was made before of the same inputs is taken again."""
        op = step.op
        folded = self.folder.known_outputs(step)
        if folded is not None:
            return folded
        key = _identity(op, step.inputs)
        if key in self._made:
            return self._made[key][0]
        made = self.folder.learned(op, step.inputs, self._create(op, step.inputs))
        if key is not None:
            self._made[key] = made, op, step.inputs  # as long as they are there, their ids are theirs
        return made

    def _create(self, op: Any, inputs: Sequence[Any]) -> tuple[Any, ...]:
        attributes = dict(op.node_def.attr)
        attributes.pop("_output_shapes", None)
        with self.graph.device(op.device or None):
            new = self.graph._create_op_internal(
                op.type,
                [_plain(value) for value in inputs],
                [tensor.dtype for tensor in op.outputs],
                name=op.name,
                attrs=attributes,
                op_def=op.op_def,
            )
        return tuple(new.outputs)


def retraced(
    frozen: Frozen,
    replacements: Mapping[str, Replacement],
    further: Callable[[], Mapping[str, Any]] = dict,
) -> Frozen:
    """The frozen graph with every op of these types replaced; what no output needs any more is gone.

    Args:
        frozen: the old graph.
        replacements: op type to what it becomes.
        further: tensors of the new graph that become outputs too, asked when it is complete.
    """
    import tensorflow as tf

    old = tf.Graph()
    with old.as_default():
        tf.graph_util.import_graph_def(frozen.graph_def, name="")
    tracing = Tracing(tf.Graph(), replacements)
    values: dict[str, Any] = {}
    with tracing.graph.as_default():
        tf.graph_util.import_graph_def(tf.compat.v1.GraphDef(library=frozen.graph_def.library), name="")
        tracing.run(old.get_operations(), values)
        # An input that no output needs stays, or the signature would change.
        found = {key: values[name] for key, name in frozen.outputs.items()} | dict(further())
        outputs = {key: tf.identity(tensor, name=f"out/{at}") for at, (key, tensor) in enumerate(found.items())}
    graph_def = _needed(tracing.graph, frozen, outputs)
    return replace(
        frozen,
        graph_def=graph_def,
        outputs={key: tensor.name for key, tensor in outputs.items()},
        notes=(*frozen.notes, *(note for note in tracing.notes if note not in frozen.notes)),
    )


def _needed(graph: Any, frozen: Frozen, outputs: Mapping[str, Any]) -> Any:
    """What the inputs and outputs reach, and the functions that it calls."""
    graph_def = graph.as_graph_def(add_shapes=True)
    nodes = {node.name: node for node in graph_def.node}
    waiting = [name.partition(":")[0] for name in (*frozen.inputs.values(), *frozen.weights)]
    waiting += [tensor.op.name for tensor in outputs.values()]
    kept: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name not in kept:
            kept.add(name)
            waiting += [source.lstrip("^").partition(":")[0] for source in nodes[name].input]
    part = type(graph_def)(node=[node for node in graph_def.node if node.name in kept], versions=graph_def.versions)
    part.library.CopyFrom(_reachable(part, graph_def.library))
    return part


def _reachable(part: Any, library: Any) -> Any:
    functions = {function.signature.name: function for function in library.function}
    found: dict[str, Any] = {}
    waiting = [part.node]
    while waiting:
        for node in waiting.pop():
            for name in _functions_of(node):
                if name in functions and name not in found:
                    found[name] = functions[name]
                    waiting.append(found[name].node_def)
    return type(library)(function=found.values())


def _functions_of(node: Any) -> list[str]:
    named = [value.func.name for value in node.attr.values() if value.HasField("func")]
    return named + [one.name for value in node.attr.values() for one in value.list.func]


def _identity(op: Any, inputs: Sequence[Any]) -> Any:
    """What two ops have in common that are the same; None for an op that is like no other."""
    if op.type == "Const":
        return id(op)  # of a body that is copied once more; comparing large values would cost more than it saves
    own = op.op_def.is_stateful or op.type.startswith("Placeholder") or not op.outputs
    # Converters want a list for each loop.
    if own or any(tensor.dtype == "variant" for tensor in op.outputs):
        return None
    parts = sorted((name, value.SerializeToString(deterministic=True)) for name, value in op.node_def.attr.items())
    return (op.type, tuple(parts), tuple(id(value) for value in inputs))


def _plain(value: Any) -> Any:
    """What stands in place of a tensor becomes one, for an op that is copied as it is."""
    return value.tensor() if hasattr(value, "tensor") else value
