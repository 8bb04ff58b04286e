"""Gives every node of a SavedModel's graph another name, wherever the file speaks of it."""

from collections.abc import Callable
from typing import Any

# Stands before each name, so that the order of names, by which TensorFlow sorts what it is fed, stays.
_PREFIX = "zZ.other/"
_CLASS, _COLOCATED = "_class", b"loc:@"
_VARIABLES = ("variables", "trainable_variables")
_ASSETS = "saved_model_assets"


def other_node(name: str) -> str:
    """The new name of a node, of one of its tensors (`name:0`) or of a control input (`^name`)."""
    caret, bare = ("^", name[1:]) if name.startswith("^") else ("", name)
    return f"{caret}{_PREFIX}{bare}" if bare else name


def rename_nodes(meta_graph: Any) -> None:
    """Renames the nodes of a MetaGraphDef in place, and its signatures' tensors with them."""
    _rename(meta_graph.graph_def.node, other_node)
    for function in meta_graph.graph_def.library.function:
        _rename_function(function)
    for signature in meta_graph.signature_def.values():
        for info in (*signature.inputs.values(), *signature.outputs.values()):
            info.name = other_node(info.name)
    for asset in meta_graph.asset_file_def:
        asset.tensor_info.name = other_node(asset.tensor_info.name)
    saver = meta_graph.saver_def
    for part in ("filename_tensor_name", "save_tensor_name", "restore_op_name"):
        setattr(saver, part, other_node(getattr(saver, part)))
    for held in meta_graph.object_graph_def.nodes:
        if held.WhichOneof("kind") == "constant":
            held.constant.operation = other_node(held.constant.operation)
    _rename_collections(meta_graph)


def _rename(nodes: Any, other: Callable[[str], str]) -> None:
    for node in nodes:
        node.name = other_node(node.name)
        node.input[:] = map(other, node.input)
        if _CLASS in node.attr:
            places = node.attr[_CLASS].list.s
            places[:] = [_COLOCATED + other_node(one.removeprefix(_COLOCATED).decode()).encode() for one in places]


def _rename_function(function: Any) -> None:
    """Renames the nodes inside a FunctionDef; its arguments and results are what its callers know it by."""
    nodes = {node.name for node in function.node_def}

    def other(name: str) -> str:
        return other_node(name) if name.removeprefix("^").partition(":")[0] in nodes else name

    _rename(function.node_def, other)
    for results in (function.ret, function.control_ret):
        # Setting an entry may move it, so that an iteration over the map itself misses some.
        for result, name in list(results.items()):
            results[result] = other(name)


def _rename_collections(meta_graph: Any) -> None:
    from tensorflow.core.framework import variable_pb2

    for key, held in meta_graph.collection_def.items():
        if key in _VARIABLES:
            held.bytes_list.value[:] = [
                _repacked(variable_pb2.VariableDef.FromString(one), _rename_variable) for one in held.bytes_list.value
            ]
        elif key == _ASSETS:
            for packed in held.any_list.value:
                asset = type(meta_graph)().asset_file_def.add()
                packed.Unpack(asset)
                asset.tensor_info.name = other_node(asset.tensor_info.name)
                packed.Pack(asset)
        else:
            held.node_list.value[:] = map(other_node, held.node_list.value)


def _repacked(message: Any, rename: Callable[[Any], None]) -> bytes:
    rename(message)
    found: bytes = message.SerializeToString()
    return found


def _rename_variable(variable: Any) -> None:
    for part in ("variable_name", "initial_value_name", "initializer_name", "snapshot_name"):
        setattr(variable, part, other_node(getattr(variable, part)))
