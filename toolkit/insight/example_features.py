"""What the tf.Examples of a classify or regress signature hold, read from the op that parses them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from toolkit.graphs.unsafe import Walk
from toolkit.insight.inspection import Tensor
from toolkit.wire.dtypes import BY_NUMBER

_PARSERS = frozenset({"ParseExample", "ParseExampleV2"})


def features_of(graph: Any, tensors: Iterable[str]) -> dict[str, Tensor]:
    """Name to Tensor of one example's dense features, where the graph that computes some tensors parses any."""
    walk = Walk.over(graph, tensors)
    for function, body in _bodies(graph):
        nodes = {node.name: node for node in body}
        for node in body:
            if node.op in _PARSERS and walk.meets(function, node):
                return dict(_dense(node, nodes))
    return {}


def _bodies(graph: Any) -> Iterator[tuple[str, Any]]:
    yield "", graph.node
    yield from ((function.signature.name, function.node_def) for function in graph.library.function)


def _dense(node: Any, nodes: Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
    names = [name for source in _key_inputs(node) for name in _strings(nodes.get(source.partition(":")[0]))]
    kinds, shapes = node.attr["Tdense"].list.type, node.attr["dense_shapes"].list.shape
    for name, number, shape in zip(names, kinds, shapes, strict=False):  # a damaged node may have fewer of one
        if number in BY_NUMBER:
            dims = None if shape.unknown_rank else tuple(None if dim.size < 0 else dim.size for dim in shape.dim)
            yield name.decode("utf-8", "backslashreplace"), Tensor(BY_NUMBER[number].name, dims)


def _key_inputs(node: Any) -> list[str]:
    """The inputs that name the dense features: one tensor of them all, or in the older op a tensor each."""
    if node.op == "ParseExampleV2":  # serialized, names, sparse_keys, dense_keys
        return list(node.input[3:4])
    first = 2 + node.attr["Nsparse"].i
    return list(node.input[first : first + node.attr["Ndense"].i])


def _strings(node: Any | None) -> Sequence[bytes]:
    return node.attr["value"].tensor.string_val if node is not None and node.op == "Const" else ()
