"""Handlers for whole numbers: tf2onnx divides them as ONNX does, towards zero, where TensorFlow rounds down."""

from typing import Any

_WHOLE = frozenset({"INT8", "INT16", "INT32", "INT64"})


def _is_whole(context: Any, node: Any) -> bool:
    import onnx

    return onnx.TensorProto.DataType.Name(context.get_dtype(node.input[0])) in _WHOLE


def _remainder(context: Any, node: Any) -> Any:
    """ONNX' Mod of whole numbers takes the divisor's sign, as TensorFlow's FloorMod does."""
    dtype = context.get_dtype(node.output[0])
    return context.make_node("Mod", list(node.input), dtypes=[dtype], shapes=[context.get_shape(node.output[0])])


def _finish(context: Any, node: Any, kind: str, inputs: list[str]) -> None:
    result, dtype, shape = node.output[0], context.get_dtype(node.output[0]), context.get_shape(node.output[0])
    context.remove_node(node.name)
    context.make_node(kind, inputs, outputs=[result], name=f"{node.name}_whole", dtypes=[dtype], shapes=[shape])


def floor_mod(context: Any, node: Any, _name: str, _args: Any) -> None:
    """X mod y; floats as x - floor(x / y) y."""
    if _is_whole(context, node):
        _finish(context, node, "Mod", list(node.input))
        return
    dtypes = [context.get_dtype(node.output[0])]
    ratio = context.make_node("Div", list(node.input), dtypes=dtypes)
    whole = context.make_node("Floor", [ratio.output[0]], dtypes=dtypes)
    times = context.make_node("Mul", [whole.output[0], node.input[1]], dtypes=dtypes)
    _finish(context, node, "Sub", [node.input[0], times.output[0]])


def floor_div(context: Any, node: Any, _name: str, _args: Any) -> None:
    """floor(x / y); what is left over is taken away before whole numbers are divided."""
    dtypes = [context.get_dtype(node.output[0])]
    if _is_whole(context, node):
        multiple = context.make_node("Sub", [node.input[0], _remainder(context, node).output[0]], dtypes=dtypes)
        _finish(context, node, "Div", [multiple.output[0], node.input[1]])
        return
    ratio = context.make_node("Div", list(node.input), dtypes=dtypes)
    _finish(context, node, "Floor", [ratio.output[0]])


def invert_permutation(context: Any, node: Any, _name: str, _args: Any) -> None:
    """Where each number of a permutation stands: its ascending order."""
    import onnx

    dtype, shape = context.get_dtype(node.output[0]), context.get_shape(node.output[0])
    length = context.make_node("Shape", [node.input[0]], dtypes=[onnx.TensorProto.INT64], shapes=[[1]])
    ordered = context.make_node(
        "TopK",
        [node.input[0], length.output[0]],
        attr={"largest": 0},
        output_count=2,
        dtypes=[dtype, onnx.TensorProto.INT64],
    )
    result = node.output[0]
    context.remove_node(node.name)
    context.make_node("Cast", [ordered.output[1]], attr={"to": dtype}, outputs=[result], dtypes=[dtype], shapes=[shape])


HANDLERS: dict[str, tuple[Any, list[Any]]] = {
    "FloorMod": (floor_mod, []),
    "FloorDiv": (floor_div, []),
    "InvertPermutation": (invert_permutation, []),
}
