"""Finds ops in a SavedModel that reach outside it: files, Python, the network, the terminal; without TensorFlow."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from toolkit.graphs.census import nodes_of

# What each op can do to the machine that runs it. Restoring variables and reading assets is how every SavedModel loads,
# so RestoreV2 and the table initialisers are judged by where they stand (see _LOADING), not by what they are.
_REACHES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "runs Python": ("PyFunc", "PyFuncStateless", "EagerPyFunc"),
        "writes files": (
            *("WriteFile", "Save", "SaveV2", "SaveSlices", "MergeV2Checkpoints", "ShardedFilename"),
            *("WriteSummary", "WriteScalarSummary", "WriteAudioSummary", "WriteImageSummary", "WriteHistogramSummary"),
            *("CreateSummaryFileWriter", "CreateSummaryDbWriter", "SaveDataset", "SaveDatasetV2", "DatasetToTFRecord"),
            *("DebugIdentityV2", "DebugIdentityV3", "DebugNumericSummaryV2", "SnapshotDataset", "SnapshotDatasetV2"),
        ),
        "reads files": (
            *(
                "ReadFile",
                "MatchingFiles",
                "WholeFileReader",
                "WholeFileReaderV2",
                "TextLineReader",
                "TextLineReaderV2",
            ),
            *("TFRecordReader", "TFRecordReaderV2", "FixedLengthRecordReader", "FixedLengthRecordReaderV2"),
            *("TFRecordDataset", "TFRecordDatasetV2", "TextLineDataset", "FixedLengthRecordDataset"),
            *("FixedLengthRecordDatasetV2", "MatchingFilesDataset", "LoadDataset", "ListDataset", "SqlDataset"),
            *("ImmutableConst", "Restore", "RestoreSlice", "RestoreV2", "InitializeTableFromTextFile"),
            "InitializeTableFromTextFileV2",
        ),
        "opens the network": (
            *(
                "RpcCall",
                "RpcClient",
                "RpcServer",
                "DataServiceDataset",
                "DataServiceDatasetV2",
                "DataServiceDatasetV3",
            ),
            *("DataServiceDatasetV4", "RegisterDataset", "RegisterDatasetV2", "SdcaFprint", "CollectiveGather"),
        ),
    }
)
_KIND = {op: kind for kind, ops in _REACHES.items() for op in ops}
# Saving and restoring stand in the saver's functions and at the top level, where only the loader runs them.
_LOADING = frozenset(
    {
        *("RestoreV2", "SaveV2", "MergeV2Checkpoints", "ShardedFilename"),
        *("InitializeTableFromTextFile", "InitializeTableFromTextFileV2"),
    }
)
_LOADERS = (
    "__inference__traced_save",
    "__inference__traced_restore",
    "__inference__initializer",
    "__inference__creator",
)


@dataclass(frozen=True, slots=True)
class Reach:
    """An op that reaches outside, what it does, and where it stands."""

    op: str
    kind: str
    place: str

    def __str__(self) -> str:
        return f"{self.op} {self.kind} ({self.place})"


def reaches_of(graph_def: Any) -> Iterator[Reach]:
    """Every op of a graph, nested functions included, that touches files, Python or the network."""
    for function, node in nodes_of(graph_def):
        kind = _KIND.get(node.op)
        if kind is None:
            continue
        loading = node.op in _LOADING and (not function or function.startswith(_LOADERS))
        if not loading:
            yield Reach(node.op, kind, f"{function}/{node.name}" if function else node.name)
