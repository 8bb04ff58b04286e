"""Gathers from variables become reads and gathers of tensors, where TensorFlow's freezing would leave them behind."""

from typing import Any

# What a variable's rows are read by, the same for a tensor, and whether it takes an axis.
_GATHERS = {"ResourceGather": ("GatherV2", True), "ResourceGatherNd": ("GatherNd", False)}
_DT_INT32 = 3


def read_then_gather(graph_def: Any) -> None:
    """Changes the ops in the functions of a graph, in place.

    TensorFlow's convert_to_constants skips them there, so that a loop gets a float for a handle.
    """
    for function in graph_def.library.function:
        for node in list(function.node_def):
            if node.op in _GATHERS:
                _split(function.node_def, node)


def _split(nodes: Any, node: Any) -> None:
    """One op made two."""
    kind, has_axis = _GATHERS[node.op]
    handle, indices = [name for name in node.input if not name.startswith("^")]
    # When a variable is read is told by control inputs: the gather itself has no more need of them.
    control = [name for name in node.input if name.startswith("^")]
    dtype, index_dtype, batch_dims = node.attr["dtype"].type, node.attr["Tindices"].type, node.attr["batch_dims"].i
    shapes = [value.SerializeToString() for key, value in node.attr.items() if key == "_output_shapes"]
    reading = nodes.add(name=f"{node.name}/read", op="ReadVariableOp", input=[handle, *control])
    reading.attr["dtype"].type = dtype
    node.op = kind
    node.attr.clear()
    for value in shapes:
        node.attr["_output_shapes"].ParseFromString(value)
    node.attr["Tparams"].type, node.attr["Tindices"].type = dtype, index_dtype
    del node.input[:]
    node.input.extend([f"{reading.name}:value:0", indices])
    if has_axis:
        node.input.append(f"{_axis(nodes, node.name, batch_dims)}:output:0")
        node.attr["Taxis"].type, node.attr["batch_dims"].i = _DT_INT32, batch_dims


def _axis(nodes: Any, name: str, value: int) -> str:
    constant = nodes.add(name=f"{name}/axis", op="Const")
    constant.attr["dtype"].type = constant.attr["value"].tensor.dtype = _DT_INT32
    constant.attr["value"].tensor.tensor_shape.SetInParent()
    constant.attr["value"].tensor.int_val.append(value)
    return str(constant.name)
