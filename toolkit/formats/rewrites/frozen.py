"""Freezes a concrete function: variables become constants, so that no captured tensor turns into an extra input."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from toolkit.errors import UnsupportedError
from toolkit.formats.rewrites.apart import expose, only_read
from toolkit.formats.rewrites.gathers import read_then_gather
from toolkit.graphs.census import STATE_WRITES, layers_of, nodes_of


@dataclass(frozen=True)
class Frozen:
    """A GraphDef without variables, and which tensor carries each named input and output.

    Args:
        weights: tensor to variable, for those that are further inputs in place of constants.
        state: input to the value that it starts from, for variables that the graph writes.
    """

    graph_def: Any
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    notes: tuple[str, ...] = ()
    weights: Mapping[str, Any] = field(default_factory=dict)
    state: Mapping[str, Any] = field(default_factory=dict)


def freeze_but(function: Any, signature: str, kept: Collection[str]) -> Frozen:
    """The function's graph in which the handles of these captures are still placeholders."""
    _refuse_tables(function, signature)
    constant = _without_variables(function, kept)
    graph_def = constant.graph.as_graph_def(add_shapes=True)
    inlined = allow_inlining(graph_def)
    return Frozen(
        graph_def,
        _named_inputs(function, [tensor for tensor in constant.inputs if tensor.op.name not in kept]),
        dict(zip(sorted(function.structured_outputs), (tensor.name for tensor in constant.outputs), strict=True)),
        (f"inlined {inlined} functions that XLA was to compile",) if inlined else (),
    )


def freeze(function: Any, signature: str, apart: Mapping[str, Any] | None = None) -> Frozen:
    """The function's graph with its variables folded in.

    Args:
        function: a tf ConcreteFunction.
        signature: its name, for messages.
        apart: capture's name to variable, for those that shall become inputs where the graph only reads them.

    Raises:
        UnsupportedError: the graph needs a table or another resource, which cannot be a constant, or keeps state.
    """
    _refuse_state(function, signature)
    weights = dict(apart or {})
    frozen = freeze_but(function, signature, weights)
    read = only_read(frozen.graph_def, weights)
    if len(read) < len(weights):
        return freeze(function, signature, {name: weights[name] for name in read})
    expose(frozen.graph_def, weights)
    return replace(frozen, weights={f"{name}:0": variable for name, variable in weights.items()})


def _named_inputs(function: Any, tensors: Sequence[Any]) -> dict[str, str]:
    # A restored function's placeholders are named in lower case, so that only the keywords tell `X` from `x`.
    return dict(zip(function._arg_keywords, (tensor.name for tensor in tensors), strict=True))


def _without_variables(function: Any, kept: Collection[str]) -> Any:
    """What convert_variables_to_constants_v2 does, which cannot be told to keep some."""
    from tensorflow.python.framework import convert_to_constants as library

    # TensorFlow keeps loops and conditions whole, but takes these for granted, which no converter knows in pieces.
    library._CONTROL_FLOW_OPS.update(("Case", "StatelessCase"))
    data = library._FunctionConverterDataInEager(
        func=function, lower_control_flow=False, aggressive_inlining=True, variable_names_denylist=set(kept)
    )
    read_then_gather(data.graph_def)
    graph_def, converted = library._replace_variables_by_constants(converter_data=data)
    return library._construct_concrete_function(function, graph_def, converted)


def _refuse_tables(function: Any, signature: str) -> None:
    tables = layers_of(function.graph.as_graph_def(), "LookupTable", "ParseExample")
    if tables:
        named = ", ".join(f"{op} (layer {layer})" for op, layer in tables.items())
        raise UnsupportedError(
            f"ONNX has no {named} of '{signature}'",
            hint="serve the SavedModel, or move these layers out of the exported model",
        )
    held = [tensor.name for _, tensor in function.graph.captures if tensor.dtype.name == "variant"]
    if held:
        raise UnsupportedError(
            f"'{signature}' captures {held[0]}, which cannot be a constant", hint="serve the SavedModel"
        )


def _refuse_state(function: Any, signature: str) -> None:
    """A variable that is a constant cannot change: the second call would silently answer as the first."""
    writes = layers_of(function.graph.as_graph_def(), *STATE_WRITES)
    if writes:
        named = ", ".join(f"{op} (layer {layer})" for op, layer in writes.items())
        raise UnsupportedError(
            f"ONNX keeps no state from one call to the next, and '{signature}' has {named}",
            hint="serve the SavedModel, or give the state to the model as an input and get it back as an output",
        )


def allow_inlining(graph_def: Any) -> int:
    """Keras wraps grouped convolutions in a function marked for XLA; the mark keeps Grappler from inlining it."""
    inlined = 0
    for function in graph_def.library.function:
        inlined += int(function.attr["_XlaMustCompile"].b)
        for mark in ("_noinline", "_XlaMustCompile", "api_implements"):
            function.attr.pop(mark, None)
    for _, node in nodes_of(graph_def):
        node.attr.pop("_XlaMustCompile", None)
    return inlined
