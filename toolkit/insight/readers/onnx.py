"""Reads an ONNX file: its graph and what it stores; external data is looked at from outside and never loaded."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from toolkit.insight.bounds import Budget, damaged, outside, printable, read_bytes, reading, size_of
from toolkit.insight.inspection import DOUBLED_BYTES, Call, Finding, Inspection, Tensor, Weight, doubled
from toolkit.insight.places import about_places, place_of, places_within
from toolkit.insight.reader import Reader

# ONNX's names of the types that TensorFlow calls otherwise.
_DTYPES: Mapping[str, str] = MappingProxyType({"float": "float32", "double": "float64"})
# Domains whose ops only compute; onnxruntime's own are listed in its docs/ContribOperators.md.
_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft", "com.microsoft.nchwc", "com.ms.internal.nhwc"})
_TRAINING_DOMAINS = ("ai.onnx.training", "ai.onnx.preview.training")
_RUNS_PYTHON = frozenset({"PythonOp", "PythonOpGrad", "PyOp", "ATen", "ATenGrad"})
_VALUES = ("float_data", "int32_data", "string_data", "int64_data", "double_data", "uint64_data")


def knows(path: Path) -> bool:
    """A file called so: an ONNX file has no first bytes of its own."""
    return path.is_file() and path.suffix == ".onnx"


def read(path: Path, budget: Budget) -> Inspection:
    """The facts of an ONNX file."""
    import onnx
    from google.protobuf.message import DecodeError

    with reading(path, DecodeError, ValueError):
        model = onnx.ModelProto.FromString(read_bytes(path))
    if not model.HasField("graph") or not model.opset_import:
        raise damaged(f"{path} is no ONNX model, or cut off")
    with reading(path, ValueError):
        return _Model(path, model, onnx, budget).inspection()


class _Model:
    """A model under inspection."""

    def __init__(self, path: Path, model: Any, onnx: Any, budget: Budget) -> None:
        self._path, self._model, self._onnx, self._budget = path, model, onnx, budget
        self._own = {(function.domain, function.name) for function in model.functions}
        self._suspects: list[Finding] = []
        self._ops: Counter[str] = Counter()
        self._weights: list[Weight] = []
        self._external: dict[Path, int] = {}
        self._places: list[tuple[str, str]] = []

    def inspection(self) -> Inspection:
        model = self._model
        self._graph(model.graph, "graph")
        for function in model.functions:
            self._nodes(function.node, f"function {printable(function.name)}")
        if model.training_info:
            self._suspects.append(Finding("leftover", "graphs for training (training_info)", "model"))
        self._texts()
        return Inspection(
            path=str(self._path),
            format="onnx",
            size_bytes=size_of(self._path) + sum(self._external.values()),
            versions=self._versions(),
            model=self._path.stem,
            signatures={"serving_default": self._call()},
            ops=dict(self._ops.most_common()),
            weights=tuple(self._weights),
            assets={printable(place.name): size for place, size in self._external.items()},
            findings=(*self._suspects, *about_places(self._places), *self._doubled()),
        )

    def _versions(self) -> dict[str, str]:
        model = self._model
        opsets = ", ".join(f"{printable(one.domain) or 'ai.onnx'} {one.version}" for one in model.opset_import)
        found = {
            "producer": f"{printable(model.producer_name)} {printable(model.producer_version)}".strip(),
            "ir": str(model.ir_version),
            "opset": opsets,
        }
        return {name: value for name, value in found.items() if value}

    def _graph(self, graph: Any, place: str) -> None:
        for tensor in graph.initializer:
            self._stored(tensor, place)
        for sparse in graph.sparse_initializer:
            self._stored(sparse.values, place)
        self._nodes(graph.node, place)

    def _nodes(self, nodes: Any, place: str) -> None:
        for node in nodes:
            self._budget.take()
            self._ops[printable(node.op_type)] += 1
            where = f"{place}/{printable(node.name or node.op_type)}"
            if wrong := self._judged(node):
                self._suspects.append(Finding("unsafe", f"{printable(node.op_type)} {wrong}", where))
            if node.domain in _TRAINING_DOMAINS:
                self._suspects.append(Finding("leftover", f"{printable(node.op_type)} trains", where))
            for attribute in node.attribute:
                self._attribute(attribute, where)

    def _attribute(self, attribute: Any, where: str) -> None:
        # How deep graphs lie in graphs is bounded by protobuf, which refuses more than 100 levels.
        for graph in (attribute.g, *attribute.graphs):
            if graph.node or graph.initializer:
                self._graph(graph, f"{where}/{printable(attribute.name)}")
        for tensor in (attribute.t, *attribute.tensors):
            if tensor.data_type:
                self._stored(tensor, where)
        texts = [attribute.s, *attribute.strings]
        self._places += [(place, where) for text in texts if (place := place_of(text))]

    def _judged(self, node: Any) -> str | None:
        if (node.domain, node.op_type) in self._own or node.domain in _TRAINING_DOMAINS:
            return None
        if node.op_type in _RUNS_PYTHON:
            return "runs Python"
        if node.domain not in _DOMAINS:
            return f"is of {printable(node.domain)}, whose library would run"
        # What a contributed domain has depends on the runtime; ONNX's own ops are known.
        newest = self._onnx.defs.onnx_opset_version()
        if node.domain in {"", "ai.onnx"}:
            known = node.op_type.isascii() and self._onnx.defs.has(node.op_type, newest)
            return None if known else "is no op of ONNX"
        return None

    def _stored(self, tensor: Any, place: str) -> None:
        self._budget.take()
        if tensor.data_location == self._onnx.TensorProto.EXTERNAL:
            self._weights.append(Weight(printable(tensor.name), self._tensor(tensor), self._outside(tensor, place)))
            return
        content = tensor.raw_data or b"".join(_packed(getattr(tensor, name)) for name in _VALUES)
        digest = self._budget.digest(content)
        self._weights.append(Weight(printable(tensor.name or place), self._tensor(tensor), len(content), digest))

    def _tensor(self, tensor: Any) -> Tensor:
        return Tensor(self._dtype(tensor.data_type), tuple(tensor.dims))

    def _dtype(self, number: int) -> str:
        names = self._onnx.TensorProto.DataType
        name = names.Name(number).lower() if number in names.values() else f"type {number}"
        return _DTYPES.get(name, name)

    def _outside(self, tensor: Any, place: str) -> int:
        """The size of external data that lies where it should; elsewhere nothing is even looked at."""
        given = {entry.key: entry.value for entry in tensor.external_data}
        name, folder = given.get("location", ""), self._path.absolute().parent
        target = folder / name
        if not name or outside(name) or not target.resolve().is_relative_to(folder.resolve()):
            what = f"reads a file outside of its folder: {printable(name) or 'without a name'}"
            self._suspects.append(Finding("unsafe", what, f"{place}/{printable(tensor.name)}"))
            return 0
        if not target.is_file():
            raise damaged(f"{target} is missing, where values of {self._path} should be")
        self._external[target] = target.stat().st_size
        start, size = int(given.get("offset", "0")), int(given.get("length", "0"))
        if start < 0 or size < 0 or start + size > self._external[target]:
            raise damaged(f"{target} is cut off: {self._path} wants {start + size:,} bytes of it")
        return size or self._external[target] - start

    def _call(self) -> Call:
        stored = {tensor.name for tensor in self._model.graph.initializer}
        inputs = [value for value in self._model.graph.input if value.name not in stored]
        return Call(self._values(inputs), self._values(self._model.graph.output))

    def _values(self, values: Any) -> dict[str, Tensor]:
        return {printable(value.name): self._value(value.type) for value in values}

    def _value(self, kind: Any) -> Tensor:
        if not kind.HasField("tensor_type"):
            return Tensor(kind.WhichOneof("value") or "unknown", None)
        tensor = kind.tensor_type
        if not tensor.HasField("shape"):
            return Tensor(self._dtype(tensor.elem_type), None)
        return Tensor(self._dtype(tensor.elem_type), tuple(_dim(dim) for dim in tensor.shape.dim))

    def _texts(self) -> None:
        model = self._model
        texts = [("metadata", f"{entry.key} {entry.value}") for entry in model.metadata_props]
        texts += [("doc_string", model.doc_string), ("doc_string", model.graph.doc_string)]
        texts += [(printable(node.name), node.doc_string) for node in model.graph.node if node.doc_string]
        self._places += [(place, where) for where, text in texts for place in places_within(text)]

    def _doubled(self) -> Iterator[Finding]:
        alike: dict[str, list[Weight]] = {}
        for weight in self._weights:
            if weight.digest and weight.size_bytes >= DOUBLED_BYTES:
                alike.setdefault(weight.digest, []).append(weight)
        return doubled(alike.values())


def _packed(values: Any) -> bytes:
    if not len(values) or isinstance(values[0], bytes):
        return b"\0".join(values)
    import numpy as np

    return np.asarray(values).tobytes()


def _dim(dim: Any) -> int | str | None:
    if dim.HasField("dim_value"):
        return int(dim.dim_value) if dim.dim_value >= 0 else None
    return printable(dim.dim_param) or None


READER = Reader("onnx", knows, read, "FILE.onnx")
