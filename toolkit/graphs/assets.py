"""Finds tables of a SavedModel that are filled from a file which is none of its assets; without TensorFlow.

A loader feeds an asset's node with the path of the file inside the SavedModel. What else names a file (a constant, a
text put together in the graph) would be read wherever it lies on the machine that serves.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from toolkit.graphs.census import nodes_of

_FILLS = frozenset({"InitializeTableFromTextFile", "InitializeTableFromTextFileV2"})
_FILE_INPUT = 1
_SAME = frozenset({"Identity"})
_HANDLE, _READ, _ASSIGN, _LOOK = "VarHandleOp", "ReadVariableOp", "AssignVariableOp", "VarIsInitializedOp"
_CALLS = frozenset({"PartitionedCall", "StatefulPartitionedCall"})
# Where graphs of TensorFlow 1 list their assets.
_OLD_ASSETS = "saved_model_assets"
# What a Stray has for an op where it is an asset's own entry that leads out.
ASSET = "an asset"


@dataclass(frozen=True, slots=True)
class Stray:
    """An op that reads a file outside the assets, where the file's name comes from, and where the op stands."""

    op: str
    source: str
    place: str

    def __str__(self) -> str:
        return f"{self.op} reads a file that is none of the assets, named by {self.source} ({self.place})"


def asset_files(meta_graph: Any) -> Iterator[Any]:
    """The AssetFileDefs of a MetaGraphDef."""
    yield from meta_graph.asset_file_def
    if _OLD_ASSETS in meta_graph.collection_def:
        for packed in meta_graph.collection_def[_OLD_ASSETS].any_list.value:
            asset = type(meta_graph)().asset_file_def.add()
            packed.Unpack(asset)
            yield asset


def strays_of(meta_graph: Any) -> Iterator[Stray]:
    """Every table of a MetaGraphDef that is filled from elsewhere, and every asset that lies elsewhere."""
    assets = set()
    for asset in asset_files(meta_graph):
        assets.add(asset.tensor_info.name.partition(":")[0])
        path = PurePosixPath(asset.filename)
        if path.is_absolute() or ".." in path.parts:
            yield Stray(ASSET, f"'{asset.filename}'", asset.tensor_info.name)
    sources = _Sources.of(meta_graph, assets)
    for function, node in nodes_of(meta_graph.graph_def):
        if node.op in _FILLS:
            place = f"{function}/{node.name}" if function else node.name
            for source in sources.others(function, node.input[_FILE_INPUT] if len(node.input) > _FILE_INPUT else ""):
                yield Stray(node.op, source, place)


@dataclass
class _Sources:
    """Follows a tensor to the nodes that it may come from.

    Args:
        assets: nodes of the graph that the loader feeds with the path of an asset.
        nodes: function name, or '' for the graph itself, to its nodes by name.
        arguments: function to the names of its arguments.
        callers: function to each place that calls it: the function which that is in, and the inputs given.
        assigned: a variable, by the name that it has for all nodes, to each place that it gets its value from.
    """

    assets: set[str]
    nodes: dict[str, dict[str, Any]] = field(default_factory=dict)
    arguments: dict[str, list[str]] = field(default_factory=dict)
    callers: dict[str, list[tuple[str, list[str]]]] = field(default_factory=dict)
    assigned: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    @classmethod
    def of(cls, meta_graph: Any, assets: set[str]) -> "_Sources":
        """Those of a MetaGraphDef."""
        graph = meta_graph.graph_def
        found = cls(assets)
        for function in graph.library.function:
            found.arguments[function.signature.name] = [one.name for one in function.signature.input_arg]
        for function, node in nodes_of(graph):
            found.nodes.setdefault(function, {})[node.name] = node
            for called, inputs in _called(node, found.arguments):
                found.callers.setdefault(called, []).append((function, inputs))
        for function, node in nodes_of(graph):
            found._note_assigned(function, node)
        for name, concrete in meta_graph.object_graph_def.concrete_functions.items():
            # What a function holds besides its arguments comes last among them.
            bound = [_bound(meta_graph.object_graph_def.nodes[at], found) for at in concrete.bound_inputs]
            free = len(found.arguments.get(name, ())) - len(bound)
            if bound:
                found.callers.setdefault(name, []).append(("", ["^"] * free + bound))
        return found

    def _variable(self, function: str, tensor: str) -> str | None:
        """The variable whose handle this is."""
        node = self.nodes.get(function, {}).get(tensor.partition(":")[0])
        if node is None or node.op != _HANDLE:
            return None
        return (node.attr["shared_name"].s or node.name.encode()).decode("utf-8", "replace")

    def _note_assigned(self, function: str, node: Any) -> None:
        for at, tensor in enumerate(node.input):
            variable = self._variable(function, tensor)
            if variable is None or node.op in (_READ, _LOOK) or tensor.startswith("^"):
                continue
            # An op that is given the handle and does something else with it may write whatever it likes.
            source = _input(node.input, 1) if node.op == _ASSIGN and at == 0 else f"{node.op} {node.name}"
            self.assigned.setdefault(variable, []).append((function, source))

    def others(self, function: str, tensor: str) -> set[str]:
        """What a tensor may come from that is no asset, in words."""
        found, seen, waiting = set(), set(), [(function, tensor.partition(":")[0])]
        while waiting:
            place = waiting.pop()
            if place in seen:
                continue
            seen.add(place)
            function, name = place
            node = self.nodes.get(function, {}).get(name)
            if not function and name in self.assets:
                continue
            if function and name in self.arguments[function]:
                at = self.arguments[function].index(name)
                # A function that nobody calls is never run.
                waiting += [(caller, _input(inputs, at)) for caller, inputs in self.callers.get(function, ())]
            elif node is not None and node.op in _SAME:
                waiting.append((function, _input(node.input, 0)))
            elif node is not None and node.op == _READ and (given := self._values(function, node)):
                waiting += given
            else:
                found.add(f"{node.op} '{name}'" if node is not None else f"'{name}'")
        return found

    def _values(self, function: str, read: Any) -> list[tuple[str, str]]:
        variable = self._variable(function, _input(read.input, 0))
        return [] if variable is None else self.assigned.get(variable, [])


def _input(inputs: Any, at: int) -> str:
    return inputs[at].partition(":")[0] if at < len(inputs) else ""


def _called(node: Any, arguments: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """Each function that a node calls, and what it gives it."""
    if node.op in arguments:
        yield node.op, list(node.input)
    values = node.attr.values()
    names = [value.func.name for value in values] + [one.name for value in values for one in value.list.func]
    # Branches, loops and maps hand their inputs on otherwise: where a table is filled in one, nothing is known of it.
    inputs = list(node.input) if node.op in _CALLS else []
    yield from ((name, inputs) for name in names if name in arguments)


def _bound(held: Any, sources: _Sources) -> str:
    """The name of the graph's node behind an object that a function holds; one that is no asset has none."""
    kind = held.WhichOneof("kind")
    if kind != "asset":
        return f"{kind} of the object graph"
    return next(iter(sources.assets), "")
