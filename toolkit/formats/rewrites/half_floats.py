"""ONNX: a graph of float16 or bfloat16 becomes one of float32, and float64 where onnxruntime has no kernel for it."""

from dataclasses import replace
from typing import Any

from toolkit.errors import UnsupportedError
from toolkit.formats.rewrites.floats import NAMES, dtypes_of, rebuild
from toolkit.formats.rewrites.frozen import Frozen
from toolkit.graphs.census import ops_by_type

_DOUBLE, _BFLOAT16 = 2, 14
_COMPLEX128 = 18
# Ops of float64 that onnxruntime 1.32 does not run: "Could not find an implementation for Conv(11)".
_NOT_IN_DOUBLE = frozenset(
    {
        *("Conv2D", "Conv3D", "DepthwiseConv2dNative", "Conv2DBackpropInput", "Conv3DBackpropInputV2"),
        *("AvgPool", "AvgPool3D", "Erf", "Erfc", "ResizeBilinear", "ResizeNearestNeighbor", "LRN", "Elu", "Selu"),
        *("Softplus", "Softsign", "Sinh", "Cosh", "Asinh", "Acosh", "Atanh", "Tan", "Asin", "Acos", "Atan"),
    }
)


def _chosen(graph_def: Any) -> set[int]:
    found = dtypes_of(graph_def) & set(NAMES)
    if _DOUBLE in found and not any(op in _NOT_IN_DOUBLE for op in ops_by_type(graph_def)):
        found -= {_DOUBLE, _COMPLEX128}
    return found


def _apply(frozen: Frozen) -> Frozen:
    for node in frozen.graph_def.node:
        if node.op == "Placeholder" and node.attr["dtype"].type == _BFLOAT16:
            raise UnsupportedError(
                f"onnxruntime's Python interface takes no bfloat16, which Placeholder (layer {node.name}) is",
                hint="let the model take float32 and cast it, or serve the SavedModel",
            )
    return _REBUILD.apply(frozen)


_REBUILD = rebuild("half_floats", ("onnx",), _chosen)
REWRITE = replace(_REBUILD, apply=_apply)
