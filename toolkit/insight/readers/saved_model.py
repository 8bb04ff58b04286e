"""Reads a SavedModel: its graph, its signatures, the index of its variables; no value but those of constants."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from toolkit.core.tensors import METHODS
from toolkit.errors import WireError
from toolkit.graphs.assets import ASSET, asset_files, strays_of
from toolkit.graphs.census import nodes_of, ops_by_type
from toolkit.graphs.unsafe import suspects_of
from toolkit.insight.bounds import Budget, damaged, outside, printable, read_bytes, reading, size_of
from toolkit.insight.checkpoint import read_checkpoint
from toolkit.insight.example_features import features_of
from toolkit.insight.inspection import Call, Finding, Inspection, Tensor, Weight, about_constants
from toolkit.insight.places import about_places, place_of
from toolkit.insight.reader import Reader
from toolkit.wire import protos
from toolkit.wire.dtypes import BY_NUMBER
from toolkit.wire.signatures import METHOD_WORDS, TensorInfo, read_signature

GRAPH = "saved_model.pb"
_DEBUG = Path("debug") / "saved_model_debug_info.pb"
_SERVE = "serve"
# Smaller constants are shapes, axes and the like.
_CONSTANT_BYTES = 1024
_TABLES = ("HashTable", "MutableHashTable", "MutableDenseHashTable", "AnonymousHashTable", "AnonymousMutable")
_TRAINS = ("ResourceApply", "ResourceSparseApply", "Apply", "SparseApply")


def knows(path: Path) -> bool:
    """A folder with a saved_model.pb, or that file."""
    return (path / GRAPH).is_file() or (path.name == GRAPH and path.is_file())


def read(path: Path, budget: Budget) -> Inspection:
    """The facts of a SavedModel."""
    folder = path if path.is_dir() else path.parent
    file = folder / GRAPH
    with reading(file, WireError):
        saved = protos.parse(protos.SavedModel, read_bytes(file))
    with reading(file, DecodeError):  # of a message inside a message
        return _inspect(path, saved, budget)


def _inspect(path: Path, saved: Any, budget: Budget) -> Inspection:
    folder = path if path.is_dir() else path.parent
    file = folder / GRAPH
    if not saved.meta_graphs:
        raise damaged(f"{file} has no graph")
    served = next((graph for graph in saved.meta_graphs if _SERVE in graph.meta_info_def.tags), saved.meta_graphs[0])
    for graph in saved.meta_graphs:
        budget.take(sum(1 for _ in nodes_of(graph.graph_def)))
    checkpoint = read_checkpoint(folder / "variables", budget)
    constants = tuple(_constants(served.graph_def, budget))
    assets, missing = _assets(folder, served)
    return Inspection(
        path=str(path),
        format="saved_model",
        size_bytes=size_of(folder),
        versions=_versions(saved, served),
        model=_model(folder.absolute()),
        signatures=_calls(served),
        ops=dict(ops_by_type(served.graph_def).most_common()),
        weights=checkpoint.weights,
        constants=constants,
        assets=assets,
        tables=tuple(dict.fromkeys(_tables(served.graph_def))),
        findings=(
            *_suspects(saved),
            *missing,
            *checkpoint.findings,
            *_leftovers(folder, saved),
            *about_places(_places(folder, saved)),
            *about_constants(constants),
        ),
    )


def _model(folder: Path) -> str:
    # A version's folder is called by its number, and its model by the folder above, as TensorFlow Serving has it.
    return folder.parent.name if folder.name.isdigit() else folder.name


def _versions(saved: Any, graph: Any) -> dict[str, str]:
    info, versions = graph.meta_info_def, graph.graph_def.versions
    found = {
        "tensorflow": printable(info.tensorflow_version),
        "git": printable(info.tensorflow_git_version),
        "graph": f"{versions.producer}, readable from {versions.min_consumer} on",
        "schema": str(saved.saved_model_schema_version),
        "tags": ", ".join(printable(tag) for tag in info.tags),
    }
    return {name: value for name, value in found.items() if value}


def _calls(graph: Any) -> dict[str, Call]:
    found = {}
    for name in sorted(graph.signature_def):
        if name.startswith("__"):  # how TensorFlow keeps what it runs when it loads the model
            continue
        proto = graph.signature_def[name]
        signature = read_signature(name, proto)
        method = METHOD_WORDS.get(signature.method, METHODS[0])
        names = [info.name for info in signature.outputs.values()]
        features = {} if method == "predict" else features_of(graph.graph_def, names)
        found[printable(name)] = Call(_tensors(signature.inputs), _tensors(signature.outputs), method, features)
    return found


def _tensors(infos: Mapping[str, TensorInfo]) -> dict[str, Tensor]:
    return {printable(name): Tensor(info.dtype or info.word, info.shape) for name, info in infos.items()}


def _constants(graph: Any, budget: Budget) -> Iterator[Weight]:
    for function, node in nodes_of(graph):
        if node.op != "Const":
            continue
        tensor = node.attr["value"].tensor
        content = tensor.tensor_content or (tensor.ByteSize() >= _CONSTANT_BYTES and tensor.SerializeToString())
        if not content or len(content) < _CONSTANT_BYTES or tensor.dtype not in BY_NUMBER:
            continue
        shape = tuple(dim.size for dim in tensor.tensor_shape.dim)
        name = printable(f"{function}/{node.name}" if function else node.name)
        yield Weight(name, Tensor(BY_NUMBER[tensor.dtype].name, shape), len(content), budget.digest(content))


def _assets(folder: Path, graph: Any) -> tuple[dict[str, int], list[Finding]]:
    # TensorFlow 1 names its assets in a collection of its own: what lies in the folder is an asset all the same.
    place = folder / "assets"
    sizes = {printable(file.name): file.stat().st_size for file in sorted(place.glob("*")) if file.is_file()}
    findings = []
    for asset in asset_files(graph):
        name = printable(asset.filename)
        place = folder / "assets" / asset.filename
        if outside(asset.filename) or not place.resolve().is_relative_to(folder.resolve()):
            findings.append(
                Finding("unsafe", f"an asset lies outside of the folder: {name}", printable(asset.tensor_info.name))
            )
        elif not place.is_file():
            raise damaged(f"the asset {name} of {folder} is missing")
        else:
            sizes[name] = place.stat().st_size
    return sizes, findings


def _tables(graph: Any) -> Iterator[str]:
    for _, node in nodes_of(graph):
        if node.op.startswith(_TABLES):
            key, value = (BY_NUMBER.get(node.attr[part].type) for part in ("key_dtype", "value_dtype"))
            kinds = f"{key.name if key else '?'} to {value.name if value else '?'}"
            yield f"{printable(node.op)} {printable(node.attr['shared_name'].s or node.name)}: {kinds}"


def _suspects(saved: Any) -> Iterator[Finding]:
    for graph in saved.meta_graphs:
        for reach in suspects_of(graph):
            yield Finding("unsafe", f"{printable(reach.op)} {reach.kind}", printable(reach.place))
        for stray in strays_of(graph):
            if stray.op != ASSET:  # those are looked at as files
                what = (
                    f"{printable(stray.op)} reads a file that is none of the assets, named by {printable(stray.source)}"
                )
                yield Finding("unsafe", what, printable(stray.place))


def _leftovers(folder: Path, saved: Any) -> Iterator[Finding]:
    for graph in saved.meta_graphs:
        tags = list(graph.meta_info_def.tags)
        if _SERVE not in tags:
            yield Finding(
                "leftover", f"a graph that is not for serving, with the tags {printable(', '.join(tags))}", GRAPH
            )
        trains = sorted({node.op for _, node in nodes_of(graph.graph_def) if node.op.startswith(_TRAINS)})
        if trains:
            yield Finding(
                "leftover", f"ops that change weights as training does: {printable(', '.join(trains))}", GRAPH
            )
    for name in (_DEBUG, Path("keras_metadata.pb")):
        if (folder / name).is_file():
            size = (folder / name).stat().st_size
            yield Finding("leftover", f"{name}, {size:,} bytes that no server reads", str(name))


def _places(folder: Path, saved: Any) -> Iterator[tuple[str, str]]:
    for graph in saved.meta_graphs:
        for function, node in nodes_of(graph.graph_def):
            for text in _texts(node):
                if place := place_of(text):
                    yield place, f"{function}/{node.name}" if function else node.name
    if (folder / _DEBUG).is_file():
        with reading(folder / _DEBUG, WireError):
            debug = protos.parse(protos.DebugInfo, read_bytes(folder / _DEBUG))
        yield from ((name, str(_DEBUG)) for name in debug.files if place_of(name))


def _texts(node: Any) -> Iterator[bytes]:
    """The strings of a node's attributes, and the value of a constant that is one string."""
    for value in node.attr.values():
        yield value.s
        yield from value.list.s
        if len(value.tensor.string_val) == 1:
            yield value.tensor.string_val[0]


READER = Reader("saved_model", knows, read, "a SavedModel's folder")
