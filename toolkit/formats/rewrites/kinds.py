"""What an op is to a format: whether the format has it, whether it is work of worth, whether it keeps state."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from toolkit.graphs.census import STATE_WRITES, nodes_of

DT_STRING, DT_RESOURCE, DT_VARIANT = 7, 20, 21
# No runtime but TensorFlow has these: tables, parsers, and ragged tensors as values.
_OF_TENSORFLOW = ("LookupTable", "ParseExample", "ParseSequenceExample", "ParseSingle", "Ragged")
_WORK = ("MatMul", "Conv", "DepthwiseConv", "BatchMatMul", "SparseTensorDenseMatMul", "Einsum", "FusedBatchNorm")
# What moves values about and computes none.
_PASSIVE = frozenset(
    {"Identity", "IdentityN", "Cast", "Reshape", "ExpandDims", "Squeeze", "Pack", "Unpack", "ConcatV2", "NoOp"}
)
# What computes shapes, of whole numbers.
STRUCTURAL = frozenset(
    {*_PASSIVE, "Shape", "ShapeN", "Size", "Rank", "StridedSlice", "Prod", "Mul", "AddV2", "Sub", "Maximum", "GatherV2"}
)
# What only hands others their values, in loops for instance.
_PLUMBING = ("TensorList", "TensorArray", "Const", "Placeholder", "Equal", "Select")
SIDE_EFFECTS = frozenset({"Assert", "Print", "PrintV2"})


@dataclass(frozen=True)
class Lacks:
    """What a kind of format does not have, so that TensorFlow must run it.

    Args:
        label: the format's name in messages.
        kinds: beginnings of op types, beside tables, parsers and ragged tensors.
        strings: op types that it has for strings all the same, unless the string came in as an input.
    """

    label: str
    kinds: tuple[str, ...] = ()
    strings: frozenset[str] = frozenset()

    def lacking(self, node: Any, library: Mapping[str, Any]) -> set[str]:
        """The op types that the format does not have: the op's own, or those in the functions that it runs."""
        inner = set().union(*(self.lacking(one, library) for one in _inner(node, library)))
        if node.op.startswith((*_OF_TENSORFLOW, *self.kinds)):
            return {node.op}
        if inner:
            return inner
        return {node.op} if node.op not in self.strings and DT_STRING in _dtypes(node) else set()

    def of(self, graph_def: Any) -> set[str]:
        """The op types of a graph, and of its functions, that the format does not have."""
        return set().union(*(self.lacking(node, {}) for _, node in nodes_of(graph_def)))


def works(node: Any, library: Mapping[str, Any]) -> bool:
    """Whether the op is what a model is exported for, as far as its type tells."""
    return node.op.startswith(_WORK) or any(works(inner, library) for inner in _inner(node, library))


def computes(node: Any) -> bool:
    """Whether the op computes anything at all."""
    return node.op not in _PASSIVE and node.op not in {"Placeholder", "Const", *SIDE_EFFECTS}


def says_something(op: str) -> bool:
    """Whether a person who reads that TensorFlow runs this op learns why."""
    return op not in STRUCTURAL and not op.startswith(_PLUMBING)


def checks(node: Any, library: Mapping[str, Any]) -> bool:
    """Whether the op is there to raise or to print; in a function, a condition stands around it."""
    return node.op in SIDE_EFFECTS or any(checks(inner, library) for inner in _inner(node, library))


def changes_state(node: Any, library: Mapping[str, Any]) -> bool:
    """Whether the op leaves something behind for the next call."""
    kinds = (*STATE_WRITES, "LookupTableInsert", "LookupTableRemove", "LookupTableImport")
    return node.op.startswith(kinds) or any(changes_state(inner, library) for inner in _inner(node, library))


def _inner(node: Any, library: Mapping[str, Any]) -> Iterator[Any]:
    """The nodes of the functions that an op runs: the body of a loop, the branches of a condition."""
    for value in node.attr.values():
        named = [value.func.name] if value.HasField("func") else [one.name for one in value.list.func]
        for name in named:
            yield from library[name].node_def if name in library else ()


def _dtypes(node: Any) -> set[int]:
    """The dtypes of what goes in and comes out."""
    found: set[int] = set()
    for fixed, attribute, several in _arguments(node.op):
        value = node.attr[attribute or several] if attribute or several else None
        found |= {fixed} if value is None else set(value.list.type) if several else {value.type}
    return found


@cache
def _arguments(op: str) -> tuple[tuple[int, str, str], ...]:
    from tensorflow.python.framework import op_def_registry

    definition = op_def_registry.get(op)
    if definition is None:
        return ()  # an op of another library: its types are its own affair
    return tuple(
        (arg.type, arg.type_attr, arg.type_list_attr) for arg in (*definition.input_arg, *definition.output_arg)
    )
