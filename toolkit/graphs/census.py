"""Counts what is inside a graph: ops by type, nested function bodies included."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

# Op types that change a variable: what they write is there in the next call.
STATE_WRITES = (
    *("Assign", "ResourceScatter", "ResourceApply", "ResourceSparseApply", "ResourceStridedSliceAssign"),
    *("ResourceCountUpTo", "RngReadAndSkip", "RngSkip", "StatefulUniform", "StatefulStandardNormal"),
    *("StatefulTruncatedNormal", "StatefulRandomBinomial"),
)


def nodes_of(graph_def: Any) -> Iterator[tuple[str, Any]]:
    """(function name or '', NodeDef) of every node, those of library functions included."""
    for node in graph_def.node:
        yield "", node
    for function in graph_def.library.function:
        for node in function.node_def:
            yield function.signature.name, node


def ops_by_type(graph_def: Any) -> Counter[str]:
    """How often each op type stands in the graph and its functions."""
    return Counter(node.op for _, node in nodes_of(graph_def))


def count_ops(function: Any) -> int:
    """Ops of a concrete function, nested bodies included."""
    return sum(ops_by_type(function.graph.as_graph_def()).values())


def layers_of(graph_def: Any, *kinds: str) -> dict[str, str]:
    """Op type to the layer it first stands in, for the ops whose type begins with one of `kinds`."""
    found: dict[str, str] = {}
    for _, node in nodes_of(graph_def):
        if node.op.startswith(kinds):
            found.setdefault(node.op, layer_of(node.name))
    return found


def layer_of(node_name: str) -> str:
    """`StatefulPartitionedCall/mlp/hidden_1/MatMul` is of layer `mlp/hidden_1`."""
    parts = [
        part
        for part in node_name.split("/")[:-1]
        if not part.startswith(("StatefulPartitionedCall", "PartitionedCall"))
    ]
    return "/".join(parts) or node_name.rpartition("/")[2]
