"""Reads a TFLite file: its operators, tensors and signatures, by the published schema and without an interpreter."""

import re
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from toolkit.graphs.unsafe import suspicion
from toolkit.insight.bounds import Budget, damaged, outside, printable, read_bytes, reading
from toolkit.insight.inspection import Call, Finding, Inspection, Tensor, Weight, about_constants
from toolkit.insight.places import about_places, places_within
from toolkit.insight.reader import Reader

_IDENTIFIER = b"TFL3"
_SUFFIXES = (".tflite", ".lite")
# What the flatbuffers library raises where an offset leads nowhere.
_LOST = (struct.error, IndexError, ValueError, TypeError, AttributeError, OverflowError)
_FLEX = "Flex"  # a TensorFlow op that the delegate of that name runs
_VERSION = re.compile(rb"\d+\.\d+\.\d+[\w.+-]*")


def knows(path: Path) -> bool:
    """A file that says so, or is called so."""
    if not path.is_file():
        return False
    with reading(path), path.open("rb") as file:
        return file.read(8)[4:] == _IDENTIFIER or path.suffix in _SUFFIXES


def read(path: Path, budget: Budget) -> Inspection:
    """The facts of a TFLite file."""
    from ai_edge_litert import schema_py_generated as schema

    content = read_bytes(path)
    if content[4:8] != _IDENTIFIER:
        raise damaged(f"{path} is no TFLite file, or cut off")
    with reading(path, *_LOST):
        return _File(path, content, schema, budget).inspection()


@dataclass
class _File:
    """A file under inspection."""

    path: Path
    content: bytes
    schema: Any
    budget: Budget
    weights: list[Weight] = field(default_factory=list)
    tables: list[str] = field(default_factory=list)
    suspects: list[Finding] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.model = self.schema.Model.GetRootAs(self.content, 0)
        self._words = {number: name for name, number in vars(self.schema.BuiltinOperator).items() if name[0] != "_"}
        self._dtypes = {number: name.lower() for name, number in vars(self.schema.TensorType).items() if name[0] != "_"}
        self._seen: set[int] = set()

    def inspection(self) -> Inspection:
        model = self.model
        codes = [self._code(model.OperatorCodes(at)) for at in self._range(model.OperatorCodesLength())]
        graphs = [model.Subgraphs(at) for at in self._range(model.SubgraphsLength())]
        if not graphs:
            raise damaged("it has no graph")
        ops: Counter[str] = Counter()
        for at, graph in enumerate(graphs):
            ops.update(self._operators(graph, f"subgraph {at}", codes))
            self._stored(graph)
        self._external_files()
        return Inspection(
            path=str(self.path),
            format="tflite",
            size_bytes=len(self.content),
            versions=self._versions(),
            model=self.path.stem,
            signatures=self._signatures(graphs),
            ops=dict(ops.most_common()),
            weights=tuple(self.weights),
            tables=tuple(dict.fromkeys(self.tables)),
            findings=(
                *self.suspects,
                *about_places(self._places()),
                *(found for found in about_constants(self.weights) if found.kind == "doubled"),
            ),
        )

    def _range(self, count: int) -> Iterator[int]:
        """Counts what is looked at; how many there are is the file's own word."""
        for at in range(count):
            self.budget.take()
            yield at

    def _code(self, code: Any) -> str:
        # Operators up to 126 stand in an older field of one byte as well.
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        if number == self.schema.BuiltinOperator.CUSTOM:
            return printable(code.CustomCode() or b"CUSTOM")
        return self._words.get(number, f"operator {number}")

    def _operators(self, graph: Any, place: str, codes: list[str]) -> Iterator[str]:
        known = set(self._words.values())
        for at in self._range(graph.OperatorsLength()):
            op = codes[graph.Operators(at).OpcodeIndex()]
            if op not in known and (wrong := _judged(op)):
                self.suspects.append(Finding("unsafe", f"{op} {wrong}", f"{place}/operator {at}"))
            if op.startswith("HASHTABLE") and op.endswith("E"):  # HASHTABLE itself, not its FIND, IMPORT and SIZE
                self.tables.append(f"{op} ({place})")
            yield op

    def _tensor(self, graph: Any, at: int) -> tuple[str, Tensor]:
        tensor = graph.Tensors(at)
        open_dims = not tensor.ShapeSignatureIsNone()
        length = tensor.ShapeSignatureLength() if open_dims else tensor.ShapeLength()
        one = tensor.ShapeSignature if open_dims else tensor.Shape
        dims = tuple(None if one(place) < 0 else one(place) for place in self._range(length))
        dtype = self._dtypes.get(tensor.Type(), f"type {tensor.Type()}")
        return printable(tensor.Name() or b""), Tensor(dtype, dims)

    def _stored(self, graph: Any) -> None:
        for at in self._range(graph.TensorsLength()):
            number = graph.Tensors(at).Buffer()
            # Buffer 0 is the empty one, by the schema; others may be shared.
            if number == 0 or number in self._seen:
                continue
            self._seen.add(number)
            values = self._values(self.model.Buffers(number))
            if values:
                name, tensor = self._tensor(graph, at)
                self.weights.append(Weight(_plain(name), tensor, len(values), self.budget.digest(values)))

    def _values(self, buffer: Any) -> Any:
        start, size = buffer.Offset(), buffer.Size()
        if start > 1:  # in a file of more than 2 GB the values follow after the flatbuffer
            if start + size > len(self.content):
                raise damaged("values lie outside of it")
            return memoryview(self.content)[start : start + size]
        return b"" if buffer.DataIsNone() else memoryview(buffer.DataAsNumpy())

    def _signatures(self, graphs: list[Any]) -> dict[str, Call]:
        found = {}
        for at in self._range(self.model.SignatureDefsLength()):
            signature = self.model.SignatureDefs(at)
            graph = graphs[signature.SubgraphIndex()]
            found[printable(signature.SignatureKey() or b"")] = Call(
                self._named(graph, signature.Inputs, signature.InputsLength()),
                self._named(graph, signature.Outputs, signature.OutputsLength()),
            )
        if not found:  # a file of old: only the graph's own inputs
            ways = ((graphs[0].Inputs, graphs[0].InputsLength()), (graphs[0].Outputs, graphs[0].OutputsLength()))
            inputs, outputs = (dict(self._tensor(graphs[0], one(at)) for at in self._range(n)) for one, n in ways)
            found["serving_default"] = Call(inputs, outputs)
        return found

    def _named(self, graph: Any, one: Callable[[int], Any], count: int) -> dict[str, Tensor]:
        maps = [one(at) for at in self._range(count)]
        return {printable(found.Name() or b""): self._tensor(graph, found.TensorIndex())[1] for found in maps}

    def _versions(self) -> dict[str, str]:
        found = {"schema": str(self.model.Version())}
        metadata = dict(self._metadata())
        runtime = metadata.get("min_runtime_version", b"").rstrip(b"\0")
        if runtime:
            found["needs runtime"] = printable(runtime)
        # A flatbuffer of its own (conversion_metadata.fbs), whose only text of this form is TensorFlow's version.
        converter = _VERSION.search(metadata.get("CONVERSION_METADATA", b""))
        if converter:
            found["tensorflow"] = printable(converter[0])
        return found

    def _metadata(self) -> Iterator[tuple[str, bytes]]:
        for at in self._range(self.model.MetadataLength()):
            entry = self.model.Metadata(at)
            values = self._values(self.model.Buffers(entry.Buffer()))
            yield printable(entry.Name() or b""), bytes(values[:65536])

    def _places(self) -> Iterator[tuple[str, str]]:
        texts = [("description", self.model.Description() or b""), *self._metadata()]
        for name, text in texts:
            yield from ((place, name) for place in places_within(text.decode("utf-8", "replace")))

    def _external_files(self) -> None:
        for at in self._range(self.model.ExternalBufferGroupsLength()):
            name = printable(self.model.ExternalBufferGroups(at).Name() or b"")
            if outside(name):
                self.suspects.append(
                    Finding("unsafe", f"reads files outside of its folder: {name}", "external buffers")
                )


def _judged(op: str) -> str | None:
    if op.startswith(_FLEX):
        return suspicion(op.removeprefix(_FLEX))
    return "is an operator of somebody's own: it runs whatever code is registered by that name"


def _plain(name: str) -> str:
    """Of `a/Relu;b/BiasAdd;`, by which the converter names what it fused, the last."""
    return next((part for part in reversed(name.split(";")) if part), name)


READER = Reader("tflite", knows, read, "FILE.tflite")
