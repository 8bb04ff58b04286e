"""Writes small artifacts by hand, honest and hostile ones, without TensorFlow."""

import json
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import google_crc32c

from toolkit.core.artifact import Artifact, Manifest, Source
from toolkit.core.parity import Parity
from toolkit.core.tensors import Signature, TensorSpec
from toolkit.wire import protos
from toolkit.wire.varints import write_varint

DATA = Path(__file__).parent / "data"
RECORDED = Path(__file__).parents[1] / "golden" / "data" / "models"
_FLOAT, _STRING = 1, 7


def table(entries: Mapping[bytes, bytes], pack: Callable[[bytes], bytes] | None = None) -> bytes:
    """A LevelDB table of one block, its checksums right whatever is in it; packed by Snappy where that is given."""
    return sealed(rows(entries), pack)


def sealed(content: bytes, pack: Callable[[bytes], bytes] | None = None) -> bytes:
    """A table around the bytes of its one block."""
    data = _block(content, pack)
    index = _block(rows({b"~": write_varint(0) + write_varint(len(data) - 5)}), pack)
    footer = write_varint(0) + write_varint(0) + write_varint(len(data)) + write_varint(len(index) - 5)
    return data + index + footer.ljust(40, b"\0") + (0xDB4775248B80FB57).to_bytes(8, "little")


def rows(pairs: Mapping[bytes, bytes]) -> bytes:
    """The bytes of a block."""
    body = b"".join(b"\0" + write_varint(len(k)) + write_varint(len(v)) + k + v for k, v in pairs.items())
    return body + bytes(4) + (1).to_bytes(4, "little")


def _block(content: bytes, pack: Callable[[bytes], bytes] | None) -> bytes:
    kind = b"\1" if pack else b"\0"
    stored = pack(content) if pack else content
    crc = int(google_crc32c.value(stored + kind))
    return stored + kind + (((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF).to_bytes(4, "little")


def variables(folder: Path, sizes: Mapping[str, int], crcs: Mapping[str, int] | None = None) -> None:
    """The index and the values, which are zeros, of float32 vectors by key."""
    folder.mkdir(parents=True)
    entries = {b"": protos.BundleHeader(num_shards=1).SerializeToString()}
    start = 0
    for key, size in sizes.items():
        entry = protos.BundleEntry(dtype=_FLOAT, offset=start, size=size, crc32c=(crcs or {}).get(key, start))
        entry.shape.dim.add(size=size // 4)
        entries[key.encode()] = entry.SerializeToString()
        start += size
    (folder / "variables.index").write_bytes(table(entries))
    with (folder / "variables.data-00000-of-00001").open("wb") as file:
        file.truncate(start)  # as large as it should be without taking that much of the disk


Node = tuple[str, Mapping[str, Any]]


def node(graph: Any, name: str, op: str, **attributes: Any) -> Any:
    """Adds a node; text attributes are strings, or the names of functions for `f`."""
    added = graph.add(name=name, op=op)
    for key, value in attributes.items():
        if key == "f":
            added.attr[key].func.name = value
        elif isinstance(value, bytes):
            added.attr[key].s = value
        else:
            added.attr[key].tensor.CopyFrom(value)
    return added


def saved_model(folder: Path, fill: Callable[[Any], object] = lambda graph: None) -> Path:
    """A SavedModel of one float vector; `fill` changes its MetaGraphDef."""
    saved = protos.SavedModel(saved_model_schema_version=1)
    graph = saved.meta_graphs.add()
    graph.meta_info_def.tags.append("serve")
    graph.meta_info_def.tensorflow_version = "2.21.0"
    node(graph.graph_def.node, "x", "Placeholder")
    node(graph.graph_def.node, "y", "Identity").input.append("x")
    for side, name in (("inputs", "x"), ("outputs", "y")):
        info = getattr(graph.signature_def["serving_default"], side)[name]
        info.name, info.dtype = f"{name}:0", _FLOAT
        info.tensor_shape.dim.add(size=-1)
    fill(graph)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "saved_model.pb").write_bytes(saved.SerializeToString())
    return folder


def body(graph: Any, name: str) -> Any:
    """The nodes of a new function of a MetaGraphDef's library."""
    function = graph.graph_def.library.function.add()
    function.signature.name = name
    return function.node_def


def text(value: bytes) -> Any:
    """A constant that is one string."""
    return protos.TensorProto(dtype=_STRING, string_val=[value])


def values(content: bytes) -> Any:
    """A constant float vector of these bytes."""
    tensor = protos.TensorProto(dtype=_FLOAT, tensor_content=content)
    tensor.tensor_shape.dim.add(size=len(content) // 4)
    return tensor


def onnx_model(path: Path, nodes: Any = (), **parts: Any) -> Path:
    """An ONNX file of x -> y with further nodes; parts are those of a graph, and `model` of the model."""
    from onnx import TensorProto, helper

    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch"]) for name in "xy"]
    model_parts = parts.pop("model", {})
    graph = helper.make_graph(
        [*nodes, helper.make_node("Relu", ["x"], ["y"], "relu")], "g", ends[:1], ends[1:], **parts
    )
    opsets = [helper.make_opsetid("", 18)]
    path.write_bytes(helper.make_model(graph, opset_imports=opsets, **model_parts).SerializeToString())
    return path


def keras_file(path: Path, change: Callable[[Any], object], files: Mapping[str, bytes]) -> Path:
    """small.keras with its configuration changed, and further files inside, or other ones, by name."""
    left = dict(files)
    with zipfile.ZipFile(DATA / "small.keras") as small, zipfile.ZipFile(path, "w") as archive:
        for name in small.namelist():
            content = small.read(name)
            if name == "config.json":
                config = json.loads(content)
                change(config)
                content = json.dumps(config).encode()
            archive.writestr(name, left.pop(name, content))
        for name, content in left.items():
            archive.writestr(name, content)
    return path


def tflite_file(path: Path, change: Callable[[Any, Any], object] = lambda model, schema: None) -> Path:
    """square.tflite with its objects changed."""
    from ai_edge_litert import schema_py_generated as schema
    from flatbuffers import Builder  # type: ignore[import-untyped]

    model = schema.ModelT.InitFromPackedBuf((DATA / "square.tflite").read_bytes(), 0)
    change(model, schema)
    builder = Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


def manifest(paths: Mapping[str, str], files: Iterable[str]) -> Manifest:
    """A manifest of one artifact that answers as `paths` says."""
    digests = dict.fromkeys(files, "0" * 64)
    parity = Parity("pass", "", ())
    artifact = Artifact("split", "onnx", "", "split", paths, 9, "0" * 64, digests, 0.1, parity)
    signatures = {name: Signature({"x": TensorSpec("float32", (None,))}) for name in paths}
    trace = {"side_effects": ["/a/b.py:1: print(...)"]}
    return Manifest("m", 1, "now", {"python": "3"}, Source("m", "0"), signatures, trace, (artifact,))
