"""Writes a frozen graph as a SavedModel of one signature, for converters that read nothing else."""

from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from toolkit.formats.rewrites.frozen import Frozen
from toolkit.graphs.census import nodes_of


def concrete(frozen: Frozen) -> Any:
    """The frozen graph as a tf ConcreteFunction with its named inputs and outputs."""
    import tensorflow as tf
    from tensorflow.python.eager import context

    frozen = replace(frozen, graph_def=_with_own_functions(frozen.graph_def))
    for function in frozen.graph_def.library.function:
        context.context().add_function_def(function)  # an import leaves those that others call unknown
    shapes = {node.name: node.attr for node in frozen.graph_def.node if node.op == "Placeholder"}

    def spec(key: str, tensor: str) -> Any:
        attributes = shapes[tensor.partition(":")[0]]
        return tf.TensorSpec(tf.TensorShape(attributes["shape"].shape), tf.as_dtype(attributes["dtype"].type), key)

    def call(**given: Any) -> Any:
        outputs = tf.graph_util.import_graph_def(
            frozen.graph_def,
            input_map={tensor: given[key] for key, tensor in frozen.inputs.items()},
            return_elements=list(frozen.outputs.values()),
            name="",
        )
        return dict(zip(frozen.outputs, outputs, strict=True))

    specs = {key: spec(key, tensor) for key, tensor in frozen.inputs.items()}
    return tf.function(call, autograph=False).get_concrete_function(**specs)


def _with_own_functions(graph_def: Any) -> Any:
    """The graph with new names for its functions: the process may hold others of the same names."""
    from tensorflow.python.framework import ops

    mark = f"_r{ops.uid()}"
    own = {function.signature.name for function in graph_def.library.function}
    renamed = type(graph_def).FromString(graph_def.SerializeToString())
    for function in renamed.library.function:
        function.signature.name += mark
    for _, node in nodes_of(renamed):
        for called in _called(node):
            called.name += mark if called.name in own else ""
    return renamed


def _called(node: Any) -> Iterator[Any]:
    for value in node.attr.values():
        if value.HasField("func"):
            yield value.func
        elif value.HasField("list"):
            yield from value.list.func


def with_batch(frozen: Frozen, inputs: Collection[str], size: int) -> Frozen:
    """The graph with that many rows in each of these inputs, in place of any."""
    graph_def = type(frozen.graph_def).FromString(frozen.graph_def.SerializeToString())
    names = {frozen.inputs[key].partition(":")[0] for key in inputs}
    for node in graph_def.node:
        node.attr.pop("_output_shapes", None)  # of any number of rows
        if node.name in names:
            node.attr["shape"].shape.dim[0].size = size
    note = f"takes batches of {size} rows, and no others"
    return replace(frozen, graph_def=graph_def, notes=(*frozen.notes, note))


def resave(frozen: Frozen, signature: str, directory: Path) -> Any:
    """Writes the SavedModel; gives the function that is in it."""
    import tensorflow as tf

    function = concrete(frozen)
    root = tf.Module()
    tf.saved_model.save(root, str(directory), signatures={signature: function})
    return function
