"""Finds ops in a SavedModel that reach outside it: files, Python, the network; without TensorFlow."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
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
    graph = meta_graph.graph_def
    served, loading = _Walk.over(graph, _served(meta_graph)), _Walk.over(graph, _run_at_load(meta_graph))
    for function, node in nodes_of(graph):
        kind = REACHES.get(node.op) or _printing(node)
        if kind is None:
            continue
        excused = (node.op in _LOADS and not served.meets(function, node)) or (
            node.op in _SAVES and not served.meets(function, node) and not loading.meets(function, node)
        )
        if not excused:
            yield Reach(node.op, kind, f"{function}/{node.name}" if function else node.name)


def _printing(node: Any) -> str | None:
    """`tf.print` writes to standard error, unless it is told the name of a file."""
    if node.op == "PrintV2" and node.attr["output_stream"].s.startswith(b"file://"):
        return "writes files"
    return None


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
class _Walk:
    """What runs when some tensors are fetched: nodes of the graph, and functions that they call, however deep."""

    nodes: set[str] = field(default_factory=set)
    functions: set[str] = field(default_factory=set)

    @classmethod
    def over(cls, graph: Any, tensors: Iterable[str]) -> "_Walk":
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
