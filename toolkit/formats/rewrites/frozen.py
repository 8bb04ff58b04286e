"""Freezes a concrete function: variables become constants, so that no captured tensor turns into an extra input."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from toolkit.errors import UnsupportedError
from toolkit.graphs.census import STATE_WRITES, layers_of, nodes_of


@dataclass(frozen=True)
class Frozen:
    """A GraphDef without variables, and which tensor carries each named input and output."""

    graph_def: Any
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    notes: tuple[str, ...] = ()


def freeze(function: Any, signature: str) -> Frozen:
    """The function's graph with its variables folded in.

    Raises:
        UnsupportedError: the graph needs a table or another resource, which cannot be a constant, or keeps state.
    """
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    _refuse_tables(function, signature)
    _refuse_state(function, signature)
    constant = convert_variables_to_constants_v2(function, lower_control_flow=False, aggressive_inlining=True)
    graph_def = constant.graph.as_graph_def(add_shapes=True)
    inlined = _allow_inlining(graph_def)
    return Frozen(
        graph_def,
        {tensor.name.split(":")[0]: tensor.name for tensor in constant.inputs},
        dict(zip(sorted(function.structured_outputs), (tensor.name for tensor in constant.outputs), strict=True)),
        (f"inlined {inlined} functions that XLA was to compile",) if inlined else (),
    )


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


def _allow_inlining(graph_def: Any) -> int:
    """Keras wraps grouped convolutions in a function marked for XLA; the mark keeps Grappler from inlining it."""
    inlined = 0
    for function in graph_def.library.function:
        inlined += int(function.attr["_XlaMustCompile"].b)
        for mark in ("_noinline", "_XlaMustCompile", "api_implements"):
            function.attr.pop(mark, None)
    for _, node in nodes_of(graph_def):
        node.attr.pop("_XlaMustCompile", None)
    return inlined
