"""Keeps large weights out of a converter: they go in as inputs of the graph and come back as initializers of the model.

tf2onnx copies every constant at each of its two dozen passes: 0.27 GB of weights took 15 GB of memory and 85 s.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from toolkit.formats.rewrites.onnx_file import LargeWeight

# A small model goes through whole, so that the converter can fold its constants; it may then take 50 times its weights.
WHOLE_BYTES = 32 * 1024**2
LARGE_BYTES = 64 * 1024
# What becomes of an op that reads a variable once the variable is a plain tensor.
_READS = {"ReadVariableOp": "Identity", "ResourceGather": "GatherV2"}
_ON_HANDLES = {"Identity", *_READS}


def large_weights(function: Any) -> dict[str, Any]:
    """Capture's name to variable, for the variables of a large model that are worth keeping out."""
    sizes = {id(variable.handle): _size_bytes(variable) for variable in function.graph.variables}
    if sum(sizes.values()) < WHOLE_BYTES:
        return {}
    variables = {id(variable.handle): variable for variable in function.graph.variables}
    return {
        inner.op.name: variables[id(handle)]
        for handle, inner in function.graph.captures
        if sizes.get(id(handle), 0) >= LARGE_BYTES
    }


def _size_bytes(variable: Any) -> int:
    numeric = variable.dtype.is_floating or variable.dtype.is_integer
    return variable.shape.num_elements() * variable.dtype.size if numeric else 0


def only_read(graph_def: Any, names: Collection[str]) -> set[str]:
    """The handles that nothing but reads use; a loop or branch that takes one as it is needs a constant."""
    roots = _roots(graph_def, names)
    used = {(node.op, roots[source]) for node in graph_def.node for source in _sources(node) if source in roots}
    return {name for name in names if all(op in _ON_HANDLES for op, root in used if root == name)}


def expose(graph_def: Any, weights: Mapping[str, Any]) -> None:
    """Turns the handles of variables into inputs of the variables' own dtypes and shapes, in place."""
    roots = _roots(graph_def, weights)
    for node in list(graph_def.node):
        source = next(_sources(node), node.name)
        if node.name in weights:
            variable = weights[node.name]
            node.attr["dtype"].type = variable.dtype.as_datatype_enum
            node.attr["shape"].shape.CopyFrom(variable.shape.as_proto())
            node.attr.pop("_output_shapes", None)
        elif source in roots and node.op == "Identity":
            node.attr["T"].type = weights[roots[source]].dtype.as_datatype_enum
            node.attr.pop("_output_shapes", None)
        elif source in roots:
            _read_tensor(graph_def, node)


def optimized(graph_def: Any, weights: Collection[str], optimize: Callable[[Any], Any]) -> Any:
    """What `optimize` makes of the graph by Grappler, which fills each placeholder with zeros of its whole size.

    Meanwhile weights are variables, which it does not look into.
    """
    if not weights:
        return optimize(graph_def)
    names = {tensor.partition(":")[0] for tensor in weights}
    return _turned(optimize(_turned(graph_def, names, "VariableV2")), names, "Placeholder")


def _turned(graph_def: Any, names: Collection[str], kind: str) -> Any:
    changed = type(graph_def).FromString(graph_def.SerializeToString())
    for node in changed.node:
        if node.name in names:
            node.op = kind
            for key in node.attr.keys() - {"dtype", "shape"}:
                del node.attr[key]
    return changed


def _roots(graph_def: Any, names: Collection[str]) -> dict[str, str]:
    """Each handle, and each Identity that inlining left behind one, to the handle."""
    aliases = {node.name: next(_sources(node)) for node in graph_def.node if node.op == "Identity"}
    roots = {name: name for name in names}
    for alias in aliases:
        source = alias
        while source in aliases:
            source = aliases[source]
        if source in roots:
            roots[alias] = source
    return roots


def _sources(node: Any) -> Iterator[str]:
    return (name.lstrip("^").partition(":")[0] for name in node.input)


def _read_tensor(graph_def: Any, node: Any) -> None:
    read, dtype = node.op, node.attr["dtype"].type
    node.op = _READS[read]
    indices = node.attr["Tindices"].type
    shapes = node.attr["_output_shapes"]
    node.attr.clear()
    node.attr["_output_shapes"].CopyFrom(shapes)
    if read == "ReadVariableOp":
        node.attr["T"].type = dtype
        return
    axis = graph_def.node.add(name=f"{node.name}/axis", op="Const")
    axis.attr["dtype"].type = axis.attr["value"].tensor.dtype = 3  # DT_INT32
    axis.attr["value"].tensor.tensor_shape.SetInParent()
    axis.attr["value"].tensor.int_val.append(0)
    node.input.insert(2, axis.name)
    node.attr["Tparams"].type, node.attr["Tindices"].type, node.attr["Taxis"].type = dtype, indices, 3


def taken_back(model: Any, weights: Mapping[str, Any]) -> list[LargeWeight]:
    """The initializers for the inputs of an ONNX model that stand for weights; the inputs are removed, in place."""
    graph = model.graph
    for value in [value for value in graph.input if value.name in weights]:
        graph.input.remove(value)
    uses = Counter(name for node in _nodes(graph) for name in node.input)
    folded = {
        node.input[0]: node
        for node in graph.node
        if node.op_type == "Transpose" and node.input[0] in weights and uses[node.input[0]] == 1
    }
    found = []
    for name, variable in weights.items():
        node = folded.get(name)
        if node is None:
            found.append(LargeWeight(name, variable, tuple(range(variable.shape.rank))))
            continue
        order = next(part.ints for part in node.attribute if part.name == "perm")
        found.append(LargeWeight(node.output[0], variable, tuple(order)))
        graph.node.remove(node)
    return found


def _nodes(graph: Any) -> Iterator[Any]:
    for node in graph.node:
        yield node
        for part in node.attribute:
            if part.HasField("g"):
                yield from _nodes(part.g)
