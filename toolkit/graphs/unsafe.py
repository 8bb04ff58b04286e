"""Finds ops in a SavedModel that reach outside it: files, Python, the network; without TensorFlow."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from toolkit.graphs.census import nodes_of

_RUNS_PYTHON = ("PyFunc", "PyFuncStateless", "EagerPyFunc")
_WRITES_FILES = (
    *("WriteFile", "Save", "SaveV2", "SaveSlices", "MergeV2Checkpoints", "DistributedSave", "DumpTensor"),
    *("SaveDataset", "SaveDatasetV2", "DatasetToTFRecord", "ExperimentalDatasetToTFRecord"),
    *("SnapshotDataset", "SnapshotDatasetV2", "CacheDataset", "CacheDatasetV2", "CalibrationStatisticsSaver"),
    *("CreateSummaryFileWriter", "CreateSummaryDbWriter", "WriteSummary", "WriteScalarSummary", "WriteAudioSummary"),
    *("WriteImageSummary", "WriteHistogramSummary", "WriteRawProtoSummary", "WriteGraphSummary", "ImportEvent"),
    *("DebugIdentity", "DebugIdentityV2", "DebugIdentityV3", "DebugNanCount"),
    *("DebugNumericSummary", "DebugNumericSummaryV2"),
)
_READS_FILES = (
    *("ReadFile", "MatchingFiles", "ImmutableConst", "LoadAndRemapMatrix", "GenerateVocabRemapping"),
    *("WholeFileReader", "WholeFileReaderV2", "TextLineReader", "TextLineReaderV2", "LMDBReader", "RecordInput"),
    *("TFRecordReader", "TFRecordReaderV2", "FixedLengthRecordReader", "FixedLengthRecordReaderV2"),
    *("TFRecordDataset", "TFRecordDatasetV2", "TextLineDataset", "CSVDataset", "CSVDatasetV2", "LMDBDataset"),
    *("ExperimentalCSVDataset", "ExperimentalLMDBDataset", "ExperimentalMatchingFilesDataset"),
    *("FixedLengthRecordDataset", "FixedLengthRecordDatasetV2", "MatchingFilesDataset", "LoadDataset"),
    *("SqlDataset", "ExperimentalSqlDataset", "SnapshotChunkDataset", "ListSnapshotChunksDataset"),
    *("SnapshotDatasetReader", "SnapshotNestedDatasetReader", "FileSystemSetConfiguration"),
    *("Restore", "RestoreSlice", "RestoreV2", "DTensorRestoreV2"),
    *("InitializeTableFromTextFile", "InitializeTableFromTextFileV2"),
)
_OPENS_NETWORK = (
    *("RpcCall", "RpcClient", "RpcServer", "RpcServerRegister", "RpcServerStart", "RegisterDataset"),
    *("RegisterDatasetV2", "DataServiceDataset", "DataServiceDatasetV2", "DataServiceDatasetV3"),
    "DataServiceDatasetV4",
)
REACHES: Mapping[str, str] = MappingProxyType(
    dict.fromkeys(_RUNS_PYTHON, "runs Python")
    | dict.fromkeys(_WRITES_FILES, "writes files")
    | dict.fromkeys(_READS_FILES, "reads files")
    | dict.fromkeys(_OPENS_NETWORK, "opens the network")
)
_PRINTS = frozenset({"Print", "PrintV2"})
_DEEP = 32
NOT_ALLOWED = "is not on the list of ops known to be harmless"
# Restoring variables and reading vocabularies is how every SavedModel loads, and its saver is never run by a server: so
# these are judged by who runs them. What a function is called says nothing; whoever made the file chose its name.
_LOADS = frozenset({"RestoreV2", "InitializeTableFromTextFile", "InitializeTableFromTextFileV2"})
_SAVES = frozenset({"SaveV2", "MergeV2Checkpoints"})
_INIT_SIGNATURE = "__saved_model_init_op"
_INIT_COLLECTIONS = ("saved_model_main_op", "legacy_init_op", "saved_model_initializers")


@dataclass(frozen=True, slots=True)
class Reach:
    """An op that reaches outside, what it does, and where it stands."""

    op: str
    kind: str
    place: str

    def __str__(self) -> str:
        return f"{self.op} {self.kind} ({self.place})"


def reaches_of(meta_graph: Any) -> Iterator[Reach]:
    """Every op of a MetaGraphDef, nested functions included, that touches files, Python or the network."""
    return _judged(meta_graph, _reach)


def suspects_of(meta_graph: Any) -> Iterator[Reach]:
    """What `reaches_of` finds, and every op that prints or is not on the allow list; the place says who calls it."""
    return _judged(meta_graph, lambda node: _reach(node) or suspicion(node.op))


def suspicion(op: str) -> str | None:
    """What is wrong with an op type by its name alone; None for one that only computes, or only loads the model.

    Judged by a list of what is allowed and not of what is forbidden: an op of a later release or of a library of
    somebody's own is a suspect until a person has looked at it.
    """
    if op in REACHES:
        return REACHES[op]
    if op in _PRINTS:
        return "prints"
    return None if op in allowed_ops() else NOT_ALLOWED


@cache
def allowed_ops() -> frozenset[str]:
    """Op types of TensorFlow 2.21 that compute, hold state inside the model, or call functions of its own."""
    return frozenset(Path(__file__).with_name("allowed_ops.txt").read_text(encoding="ascii").split())


def _judged(meta_graph: Any, judge: Callable[[Any], str | None]) -> Iterator[Reach]:
    graph = meta_graph.graph_def
    served, loading = Walk.over(graph, _served(meta_graph)), Walk.over(graph, _run_at_load(meta_graph))
    bodies = {function.signature.name for function in graph.library.function}
    callers: dict[str, str] = {}
    for function, node in nodes_of(graph):
        kind = judge(node)
        # TensorFlow also calls a function by naming it where an op's type stands.
        if kind is None or (kind == NOT_ALLOWED and node.op in bodies):
            continue
        excused = (node.op in _LOADS and not served.meets(function, node)) or (
            node.op in _SAVES and not served.meets(function, node) and not loading.meets(function, node)
        )
        if not excused:
            callers = callers or _callers(graph, bodies)
            yield Reach(node.op, kind, _path(function, node.name, callers))


def _callers(graph: Any, bodies: set[str]) -> dict[str, str]:
    """Each function to the one that was first found to call it; the graph itself is ''."""
    known = dict.fromkeys(bodies)
    callers: dict[str, str] = {}
    for function, node in nodes_of(graph):
        for called in _calls(node, known):
            callers.setdefault(called, function)
    return callers


def _path(function: str, node: str, callers: Mapping[str, str]) -> str:
    """The functions that lead to a node, the outermost first, and the node."""
    path = [node]
    while function and len(path) < _DEEP:  # a function of a hostile graph may call itself
        path.append(function)
        function = callers.get(function, "")
    return "/".join(reversed(path))


def _reach(node: Any) -> str | None:
    # `tf.print` writes to standard error, unless it is told the name of a file.
    if node.op == "PrintV2" and node.attr["output_stream"].s.startswith(b"file://"):
        return "writes files"
    return REACHES.get(node.op)


def _served(meta_graph: Any) -> Iterator[str]:
    for name, signature in meta_graph.signature_def.items():
        if name != _INIT_SIGNATURE:
            for info in signature.outputs.values():
                yield from _tensors(info)


def _tensors(info: Any) -> Iterator[str]:
    encoding = info.WhichOneof("encoding")
    if encoding == "coo_sparse":
        sparse = info.coo_sparse
        yield from (sparse.values_tensor_name, sparse.indices_tensor_name, sparse.dense_shape_tensor_name)
    elif encoding == "composite_tensor":
        for component in info.composite_tensor.components:
            yield from _tensors(component)
    else:
        yield info.name


def _run_at_load(meta_graph: Any) -> Iterator[str]:
    yield meta_graph.saver_def.restore_op_name
    if _INIT_SIGNATURE in meta_graph.signature_def:
        yield from (info.name for info in meta_graph.signature_def[_INIT_SIGNATURE].outputs.values())
    for name in _INIT_COLLECTIONS:
        if name in meta_graph.collection_def:
            yield from meta_graph.collection_def[name].node_list.value


@dataclass
class Walk:
    """What runs when some tensors are fetched: nodes of the graph, and functions that they call, however deep."""

    nodes: set[str] = field(default_factory=set)
    functions: set[str] = field(default_factory=set)

    @classmethod
    def over(cls, graph: Any, tensors: Iterable[str]) -> "Walk":
        """Follows inputs and calls from these tensors."""
        walk = cls()
        nodes = {node.name: node for node in graph.node}
        bodies = {function.signature.name: function.node_def for function in graph.library.function}
        waiting = [_node_of(tensor) for tensor in tensors]
        while waiting:
            node = nodes.get(waiting.pop())
            if node is not None and node.name not in walk.nodes:
                walk.nodes.add(node.name)
                waiting += map(_node_of, node.input)
                walk._enter(node, bodies)
        return walk

    def meets(self, function: str, node: Any) -> bool:
        """Whether this node runs then."""
        return function in self.functions if function else node.name in self.nodes

    def _enter(self, node: Any, bodies: Mapping[str, Any]) -> None:
        waiting = list(_calls(node, bodies))
        while waiting:
            name = waiting.pop()
            if name not in self.functions:
                self.functions.add(name)
                waiting += [called for inner in bodies[name] for called in _calls(inner, bodies)]


def _node_of(tensor: str) -> str:
    return tensor.removeprefix("^").partition(":")[0]


def _calls(node: Any, bodies: Mapping[str, Any]) -> Iterator[str]:
    names = [node.op, *(value.func.name for value in node.attr.values())]
    names += [function.name for value in node.attr.values() for function in value.list.func]
    yield from (name for name in names if name in bodies)
