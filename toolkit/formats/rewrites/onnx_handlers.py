"""Handlers for TensorFlow ops that tf2onnx lacks or gets wrong."""

from typing import Any

import numpy as np

from toolkit.formats.rewrites import onnx_integers
from toolkit.formats.rewrites.onnx_recurrent import CARRIER, recurrent


def erfc(context: Any, node: Any, name: str, _args: Any) -> None:
    """Erfc(x) = 1 - Erf(x); exact GELU uses it, and ONNX has only Erf."""
    import onnx

    source, result = node.input[0], node.output[0]
    shape, dtype = context.get_shape(result), context.get_dtype(result)
    one = context.make_const(f"{name}_one", np.array(1, onnx.helper.tensor_dtype_to_np_dtype(dtype)))
    erf = context.make_node("Erf", [source], dtypes=[dtype], shapes=[shape])
    context.remove_node(name)
    context.make_node(
        "Sub", [one.output[0], erf.output[0]], outputs=[result], name=f"{name}_sub", dtypes=[dtype], shapes=[shape]
    )


def scatter_nd(context: Any, node: Any, name: str, _args: Any) -> None:
    """tf.scatter_nd adds where indices repeat; plain ScatterND keeps only one of them."""
    import onnx

    indices, updates, shape = node.input
    result = node.output[0]
    dtype, result_shape = context.get_dtype(result), context.get_shape(result)
    int64 = {"to": onnx.TensorProto.INT64}
    indices64 = context.make_node("Cast", [indices], attr=int64)
    shape64 = context.make_node("Cast", [shape], attr=int64)
    zero = onnx.helper.make_tensor("zero", dtype, [1], [0])
    zeros = context.make_node("ConstantOfShape", [shape64.output[0]], attr={"value": zero})
    context.remove_node(name)
    context.make_node(
        "ScatterND",
        [zeros.output[0], indices64.output[0], updates],
        attr={"reduction": "add"},
        outputs=[result],
        name=f"{name}_add",
        dtypes=[dtype],
        shapes=[result_shape],
    )


def select(context: Any, node: Any, name: str, _args: Any) -> None:
    """tf2onnx multiplies both sides by 0 or 1 and adds them, which makes NaN of an infinity that was not chosen."""
    condition, chosen, other = node.input
    result, kind = node.output[0], node.type
    dtype, shape, rank = context.get_dtype(result), context.get_shape(result), len(context.get_shape(chosen) or ())
    # The older op takes a vector for the rows; numpy's broadcasting would take it for the columns.
    if kind == "Select" and rank > 1 and len(context.get_shape(condition) or ()) == 1:
        axes = context.make_const(f"{name}_axes", np.arange(1, rank, dtype=np.int64))
        condition = context.make_node("Unsqueeze", [condition, axes.output[0]]).output[0]
    context.remove_node(name)
    context.make_node(
        "Where", [condition, chosen, other], outputs=[result], name=f"{name}_where", dtypes=[dtype], shapes=[shape]
    )


HANDLERS: dict[str, tuple[Any, list[Any]]] = {
    "Erfc": (erfc, []),
    "ScatterNd": (scatter_nd, []),
    "Select": (select, []),
    "SelectV2": (select, []),
    CARRIER: (recurrent, []),
    **onnx_integers.HANDLERS,
}
