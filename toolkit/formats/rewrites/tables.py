"""Looks small tables of whole numbers up by comparing with every key, so that no table is needed."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from toolkit.core.tensors import Array
from toolkit.formats.rewrites.flat import Flat, graph_of
from toolkit.formats.rewrites.kinds import Lacks
from toolkit.graphs.census import layer_of

# Each number that is looked up costs so many comparisons at most, and four bytes of memory each.
MOST_KEYS = 1024
_FIND, _SIZE = "LookupTableFindV2", "LookupTableSizeV2"


def without_small_tables(flat: Flat, lacks: Lacks) -> tuple[Flat, list[str]]:
    """The graph with those lookups replaced, and a note for each; no function of the model may write to its tables."""
    notes: list[str] = []
    graph_def = type(flat.graph_def)()
    graph_def.CopyFrom(flat.graph_def)
    for op in flat.graph.get_operations():
        layer = layer_of(op.name)
        if op.type == _SIZE and (handle := _handle(flat, op)) is not None:
            _replace_size(graph_def, op, _size(handle))
            notes.append(f"replaced {op.type} (layer {layer}) by its value")
        elif op.type == _FIND and (found := _content(flat, op, lacks)) is not None:
            _replace(graph_def, op, *found)
            count = len(found[0])
            notes.append(f"replaced {op.type} (layer {layer}) by comparisons with the {count} keys of its table")
    return (replace(flat, graph_def=graph_def, graph=graph_of(graph_def)), notes) if notes else (flat, notes)


def _handle(flat: Flat, op: Any) -> Any:
    """The table that an op asks; None where the graph itself makes it."""
    source = op.inputs[0].op
    while source.type == "Identity":
        source = source.inputs[0].op
    return flat.captures.get(source.name)


def _size(handle: Any) -> int:
    import tensorflow as tf

    return int(tf.raw_ops.LookupTableSizeV2(table_handle=handle))


def _content(flat: Flat, op: Any, lacks: Lacks) -> tuple[Array, Array] | None:
    """Keys and values of the table of a lookup; None where it is not small or not of numbers."""
    import tensorflow as tf

    keys, values = op.get_attr("Tin"), op.get_attr("Tout")
    holds_values = values in {tf.int32, tf.int64, tf.float32, tf.bool} or (values == tf.string and lacks.strings)
    if keys not in {tf.int32, tf.int64} or not holds_values:
        return None
    handle = _handle(flat, op)
    if handle is None or _size(handle) > MOST_KEYS:
        return None
    found = tf.raw_ops.LookupTableExportV2(table_handle=handle, Tkeys=keys, Tvalues=values)
    order = np.argsort(found.keys.numpy())  # a table gives its keys in any order
    return found.keys.numpy()[order], found.values.numpy()[order]


def _replace_size(graph_def: Any, op: Any, size: int) -> None:
    import tensorflow as tf

    node = next(node for node in graph_def.node if node.name == op.name)
    constant = tf.compat.v1.NodeDef(name=node.name, op="Const")
    constant.attr["dtype"].type = tf.int64.as_datatype_enum
    constant.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(size, tf.int64))
    node.CopyFrom(constant)


def _replace(graph_def: Any, op: Any, keys: Array, values: Array) -> None:
    node = next(node for node in graph_def.node if node.name == op.name)
    kept = {key: value for key, value in node.attr.items() if key == "_output_shapes"}
    inner, result = _comparison(op, keys, values)
    outside = {"keys": node.input[1], "default": node.input[2]}
    for part in inner:
        if part.op != "Placeholder":
            part.input[:] = [outside.get(name) or f"{op.name}/{name}" for name in part.input]
            part.name = f"{op.name}/{part.name}"
            graph_def.node.append(part)
    identity = type(node)(name=node.name, op="Identity", input=[f"{op.name}/{result}"], attr=kept)
    identity.attr["T"].type = node.attr["Tout"].type
    node.CopyFrom(identity)


def _comparison(op: Any, keys: Array, values: Array) -> tuple[Iterator[Any], str]:
    """The nodes that look up, and the one that gives the result."""
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        asked = tf.compat.v1.placeholder(op.inputs[1].dtype, op.inputs[1].shape, "keys")
        default = tf.compat.v1.placeholder(op.inputs[2].dtype, (), "default")
        equal = tf.cast(tf.equal(asked[..., None], tf.constant(keys)), tf.int32)
        # No key stands twice in a table: the sum is the place of the one that fits, or 0.
        place = tf.reduce_sum(equal * tf.range(1, len(keys) + 1), -1)
        result = tf.gather(tf.concat([default[None], tf.constant(values, op.outputs[0].dtype)], 0), place)
    return iter(graph.as_graph_def(add_shapes=True).node), result.op.name
