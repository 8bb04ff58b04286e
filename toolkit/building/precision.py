"""Finds outputs that eager itself computes through a coarser float dtype than the one they come out in."""

from collections.abc import Mapping
from typing import Any

from toolkit.core.model import TracedModel
from toolkit.core.parity import DEFAULT_TOLERANCES, Tolerance
from toolkit.graphs.census import nodes_of

# From the finest to the coarsest; both halves are judged alike.
_COARSE = ("float32", "float16", "bfloat16")


def coarse_tolerances(traced: TracedModel) -> Mapping[str, Tolerance]:
    """Output name to the tolerance of the coarsest float dtype on its way, where that is coarser than its own.

    A model under a mixed precision policy gives float32, but its answers hold no more digits than float16 has.
    """
    found: dict[str, Tolerance] = {}
    for name, function in traced.functions.items():
        inner = _dtypes_of_functions(function.graph.as_graph_def())
        for key, tensor in function.structured_outputs.items():
            dtype = traced.signatures[name].outputs[key].dtype
            if dtype not in {"float32", "float64"}:
                continue
            coarsest = max(_dtypes_before(tensor, inner), key=_rank, default=dtype)
            if DEFAULT_TOLERANCES[coarsest].atol > DEFAULT_TOLERANCES[dtype].atol:
                found[key] = DEFAULT_TOLERANCES[coarsest]
    return found


def _rank(dtype: str) -> float:
    return DEFAULT_TOLERANCES[dtype].atol


def _dtypes_before(tensor: Any, inner: Mapping[str, set[str]]) -> set[str]:
    """The float dtypes of what a tensor is made from, a called function's own included."""
    found: set[str] = set()
    seen: set[Any] = set()
    waiting = [tensor.op]
    while waiting:
        op = waiting.pop()
        if op in seen:
            continue
        seen.add(op)
        # Whole numbers and shapes have no precision to lose, and an input is given as it is.
        found |= {output.dtype.name for output in op.outputs if op.type != "Placeholder"} & {*_COARSE}
        for value in op.node_def.attr.values():
            for called in (value.func, *value.list.func):
                found |= inner.get(called.name, set())
        waiting += [source.op for source in op.inputs]
    return found


def _dtypes_of_functions(graph_def: Any) -> dict[str, set[str]]:
    """Function of the library to the float dtypes of its own ops."""
    import tensorflow as tf

    numbers = {tf.as_dtype(name).as_datatype_enum: name for name in _COARSE}
    found: dict[str, set[str]] = {}
    for function, node in nodes_of(graph_def):
        if function:
            kinds = (kind for value in node.attr.values() for kind in (value.type, *value.list.type))
            found.setdefault(function, set()).update(numbers[kind] for kind in kinds if kind in numbers)
    return found
