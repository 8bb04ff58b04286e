"""A graph of float64, float16 or bfloat16 becomes one of float32, which is what runtimes have kernels for.

Inputs and outputs keep their dtypes: they are cast at the border.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from toolkit.core.parity import ComputesInFloat32
from toolkit.errors import UnsupportedError
from toolkit.formats.rewrites.frozen import Frozen
from toolkit.formats.rewrites.rewrite import Rewrite, Stage
from toolkit.graphs.census import layers_of, nodes_of

# tensorflow/core/framework/types.proto: the numbers of dtypes in a GraphDef.
_FLOAT, _COMPLEX = 1, 8
NAMES = {2: "float64", 19: "float16", 14: "bfloat16", 18: "complex128"}
# What reads a float's bits would read others.
_BITS = ("Bitcast",)


def rebuild(name: str, formats: tuple[str, ...], chosen: Callable[[Any], set[int]]) -> Rewrite:
    """The rewrite for the dtypes that `chosen` finds in a GraphDef and that the formats cannot hold."""

    def apply(frozen: Frozen) -> Frozen:
        return _rebuilt(frozen, chosen(frozen.graph_def))

    return Rewrite(name, formats, Stage.TYPES, lambda graph_def: bool(chosen(graph_def)), apply)


def dtypes_of(graph_def: Any) -> set[int]:
    """The dtypes other than float32 that ops of a graph compute in; who only passes on an input or output is none."""
    found: set[int] = set()
    for _, node in nodes_of(graph_def):
        if node.op not in {"Placeholder", "Identity", "Cast", "NoOp", "_Arg", "_Retval"}:
            found |= {kind for value in node.attr.values() for kind in _types(value) if kind in NAMES}
    return found


def _types(value: Any) -> Iterator[int]:
    if value.HasField("type"):
        yield value.type
    yield from value.list.type


def _rebuilt(frozen: Frozen, dtypes: set[int]) -> Frozen:
    blocked = layers_of(frozen.graph_def, *_BITS)
    if blocked:
        op, layer = next(iter(blocked.items()))
        raise UnsupportedError(
            f"{op} (layer {layer}) reads the bits of numbers that would become float32",
            hint="compute in float32, or serve the SavedModel",
        )
    graph_def = type(frozen.graph_def)()
    graph_def.CopyFrom(frozen.graph_def)
    borders = {name.partition(":")[0] for name in (*frozen.inputs.values(), *frozen.weights)}
    kinds = {2: _FLOAT, 19: _FLOAT, 14: _FLOAT, 18: _COMPLEX}
    kinds = {kind: kinds[kind] for kind in dtypes}
    outer = {node.name: node.attr["dtype"].type for node in graph_def.node if node.name in borders}
    outputs = _dtypes_of_outputs(frozen)
    for function in graph_def.library.function:
        for argument in (*function.signature.input_arg, *function.signature.output_arg):
            argument.type = kinds.get(argument.type, argument.type)
        for node in function.node_def:
            _retype(node, kinds)
    for node in graph_def.node:
        if node.name not in borders:
            _retype(node, kinds)
    casts = _cast_inputs(graph_def, {name: kind for name, kind in outer.items() if kind in kinds}, kinds)
    made = _cast_outputs(graph_def, frozen.outputs, outputs, kinds, casts)
    named = " and ".join(sorted(NAMES[kind] for kind in dtypes))
    note = ComputesInFloat32(f"computes in float32, not {named}")
    return replace(frozen, graph_def=graph_def, outputs=made, notes=(*frozen.notes, note))


def _dtypes_of_outputs(frozen: Frozen) -> Mapping[str, int]:
    import tensorflow as tf

    graph = tf.Graph()
    with graph.as_default():
        tf.graph_util.import_graph_def(frozen.graph_def, name="")
    return {key: graph.get_tensor_by_name(name).dtype.as_datatype_enum for key, name in frozen.outputs.items()}


def _retype(node: Any, kinds: Mapping[int, int]) -> None:
    for value in node.attr.values():
        if value.HasField("type"):
            value.type = kinds.get(value.type, value.type)
        for at, kind in enumerate(value.list.type):
            value.list.type[at] = kinds.get(kind, kind)
        if value.HasField("tensor") and value.tensor.dtype in kinds:
            value.tensor.CopyFrom(_constant(value.tensor, kinds[value.tensor.dtype]))


def _constant(tensor: Any, kind: int) -> Any:
    import numpy as np
    import tensorflow as tf

    dtype = tf.as_dtype(kind)
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and the gate sees it
        return tf.make_tensor_proto(tf.make_ndarray(tensor).astype(dtype.as_numpy_dtype), dtype)


def _cast_inputs(graph_def: Any, inputs: Mapping[str, int], kinds: Mapping[int, int]) -> dict[str, str]:
    """Puts a cast behind each input of another dtype, for all that read it; gives input to cast."""
    casts = {name: f"{name}/as_float" for name in inputs}
    for node in graph_def.node:
        for at, source in enumerate(node.input):
            name, _, port = source.partition(":")
            if name in casts and port in {"", "0"}:
                node.input[at] = casts[name]
    for name, kind in inputs.items():
        _add_cast(graph_def, casts[name], name, kind, kinds[kind])
    return casts


def _cast_outputs(
    graph_def: Any,
    outputs: Mapping[str, str],
    dtypes: Mapping[str, int],
    kinds: Mapping[int, int],
    casts: dict[str, str],
) -> dict[str, str]:
    """Casts each output of another dtype back to it."""
    made = dict(outputs)
    for at, (key, tensor) in enumerate(outputs.items()):
        if dtypes[key] in kinds and tensor.partition(":")[0] not in casts:
            name = f"as_declared_{at}"
            source = tensor.removesuffix(":0")
            _add_cast(graph_def, name, source, kinds[dtypes[key]], dtypes[key])
            made[key] = f"{name}:0"
    return made


def _add_cast(graph_def: Any, name: str, source: str, before: int, after: int) -> None:
    node = graph_def.node.add(name=name, op="Cast", input=[source])
    node.attr["SrcT"].type, node.attr["DstT"].type = before, after
    node.attr["Truncate"].b = False


REWRITE = rebuild("floats", ("tflite",), dtypes_of)
