"""Takes variables that a graph writes out of it: their value comes in as an input and goes out as an output.

A runtime without variables then keeps the state by giving back what it got: the file says which output is which input,
and holds the values to start from.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from toolkit.errors import UnsupportedError
from toolkit.formats.rewrites.frozen import Frozen, freeze_but
from toolkit.formats.rewrites.retrace import Replacement, Step, retraced
from toolkit.graphs.census import STATE_WRITES, layer_of, layers_of, nodes_of

# The property of an ONNX model that names, for each input that carries state, the output with its next value.
CARRIED_STATE = "tfx_export.state"
_NEXT = "__next"
_CHANGES = {"AssignVariableOp", "AssignAddVariableOp", "AssignSubVariableOp"}
_KNOWN = {*_CHANGES, "ReadVariableOp", "ResourceGather", "Identity"}


@dataclass(frozen=True)
class Handle:
    """A variable's handle, in place of the tensor.

    Args:
        name: the capture's.
        dtype: what TensorFlow calls the dtype of a handle.
    """

    name: str
    dtype: str = "resource"


def writes_state(function: Any) -> bool:
    """Whether a tf ConcreteFunction changes a variable."""
    return bool(layers_of(function.graph.as_graph_def(), *STATE_WRITES))


def freeze_with_state(function: Any, signature: str) -> Frozen:
    """The frozen graph in which every variable that it writes is an input and an output.

    Raises:
        UnsupportedError: the state is random, or changes where no order of ops says when.
    """
    variables = {id(variable.handle): variable for variable in function.graph.variables}
    captured = {
        inner.op.name: variables[id(handle)] for handle, inner in function.graph.captures if id(handle) in variables
    }
    changed = _changed(freeze_but(function, signature, captured).graph_def, captured, signature)
    held = freeze_but(function, signature, changed)
    memory = _Memory(held, {name: captured[name] for name in changed})
    # Only reads and writes are replaced; their order is that of the ops, which control inputs keep.
    carried = retraced(memory.frozen, memory.replacements, memory.after)
    kinds = ", ".join(memory.frozen.state)
    return replace(carried, notes=(*carried.notes, f"state goes in and comes out beside the signature: {kinds}"))


def _changed(graph_def: Any, captured: Collection[str], signature: str) -> list[str]:
    """The captures that are written, all of them where their order is known."""
    sources = {node.name: [name.partition(":")[0] for name in node.input] for node in graph_def.node}
    roots = {name: name for name in captured}
    for node in graph_def.node:
        if node.op == "Identity" and sources[node.name][0] in roots:
            roots[node.name] = roots[sources[node.name][0]]
    written = {roots.get(sources[node.name][0]) for node in graph_def.node if node.op in _CHANGES} - {None}
    for where, node in nodes_of(graph_def):
        used = set() if where else {roots[name] for name in sources[node.name] if name in roots}
        uncertain = node.op.startswith(STATE_WRITES) and (where or not used or node.op not in _CHANGES)
        if uncertain or (node.op not in _KNOWN and used & written):
            raise UnsupportedError(
                f"ONNX keeps no state, and {node.op} (layer {layer_of(node.name)}) of '{signature}' changes it "
                "in a loop, a branch or at random",
                hint="serve the SavedModel, or give the state to the model as an input and get it back as an output",
            )
    return sorted(name for name in written if name is not None)


class _Memory:
    """The values of the variables at each point of the graph."""

    def __init__(self, held: Frozen, variables: Mapping[str, Any]) -> None:
        self._values: dict[str, Any] = {}
        self._variables = variables
        names = _names(variables, {*held.inputs, *held.outputs})
        self.frozen = replace(
            held,
            inputs={**held.inputs, **{name: f"{capture}:0" for capture, name in names.items()}},
            state={name: variables[capture].numpy() for capture, name in names.items()},
        )
        self._names = names

    @property
    def replacements(self) -> dict[str, Replacement]:
        """What becomes of the ops that a handle goes into."""
        found: dict[str, Replacement] = {
            "Placeholder": self._handle,
            "Identity": lambda step: step.inputs if isinstance(step.inputs[0], Handle) else None,
            "ReadVariableOp": lambda step: [self._values[step.inputs[0].name]],
            "ResourceGather": self._gather,
        }
        return found | dict.fromkeys(_CHANGES, self._change)

    def after(self) -> dict[str, Any]:
        """Each variable's value after the call, by the name of its output."""
        return {name + _NEXT: self._values[capture] for capture, name in self._names.items()}

    def _handle(self, step: Step) -> Sequence[Any] | None:
        import tensorflow as tf

        name = step.op.name
        if name not in self._variables:
            return None
        variable = self._variables[name]
        with step.tracing.graph.name_scope(None):
            self._values[name] = tf.compat.v1.placeholder(variable.dtype, variable.shape, name)
        return [Handle(name)]

    def _gather(self, step: Step) -> Sequence[Any]:
        import tensorflow as tf

        return [tf.gather(self._values[step.inputs[0].name], step.inputs[1], batch_dims=step.attr("batch_dims"))]

    def _change(self, step: Step) -> Sequence[Any]:
        name, given = step.inputs[0].name, step.inputs[1]
        before = self._values[name]
        changed = {"AssignAddVariableOp": before + given, "AssignSubVariableOp": before - given}
        self._values[name] = changed.get(step.type, given)
        return ()


def _names(variables: Mapping[str, Any], taken: set[str]) -> dict[str, str]:
    """A name for each variable's input, the variable's own where it is free."""
    found: dict[str, str] = {}
    for capture, variable in variables.items():
        base = variable.name.partition(":")[0]
        free = (base if at == 0 else f"{base}_{at}" for at in range(len(variables) + len(taken) + 1))
        found[capture] = next(name for name in free if not {name, name + _NEXT} & (taken | set(found.values())))
    return found


def attach_state(model: Any, frozen: Frozen) -> None:
    """Writes into an ONNX model, in place, the values that its state starts from, and which output is which input."""
    import onnx

    given = {value.name for value in model.graph.input}
    pairs = {name: name + _NEXT for name in frozen.state if name in given}
    for name in pairs:
        model.graph.initializer.append(onnx.numpy_helper.from_array(frozen.state[name], name))
    if pairs:
        onnx.helper.set_model_props(model, {CARRIED_STATE: json.dumps(pairs)})
