"""Makes a written SavedModel fit to be served elsewhere: no XLA-only functions, no paths of this machine."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from toolkit.wire.protos import SavedModel

# tensorflow/core/framework/... signature_constants: what the server checks for the matching call.
METHOD_NAMES = {
    "predict": "tensorflow/serving/predict",
    "classify": "tensorflow/serving/classify",
    "regress": "tensorflow/serving/regress",
}


def clean(directory: Path, methods: Mapping[str, str]) -> list[str]:
    """Rewrite saved_model.pb in place; gives a note for each thing that was changed."""
    path = directory / "saved_model.pb"
    saved = SavedModel.FromString(path.read_bytes())
    notes = []
    for meta_graph in saved.meta_graphs:
        for name, method in methods.items():
            meta_graph.signature_def[name].method_name = METHOD_NAMES[method]
        compiled = _clear_xla(meta_graph.graph_def)
        if compiled:
            notes.append(f"cleared _XlaMustCompile on {compiled} functions and ops: servers have XLA switched off")
        assets = {asset.filename for asset in meta_graph.asset_file_def}
        _clear_paths(meta_graph.graph_def, assets)
    path.write_bytes(saved.SerializeToString(deterministic=True))
    _write_fingerprint(directory)
    return notes


def _clear_xla(graph_def: Any) -> int:
    """Keras compiles grouped convolutions with XLA; a server without XLA then answers every request with an error."""
    cleared = 0
    for function in graph_def.library.function:
        if function.attr["_XlaMustCompile"].b:
            cleared += 1
            function.attr.pop("_noinline", None)
        function.attr.pop("_XlaMustCompile", None)
    for node in _nodes(graph_def):
        if "_XlaMustCompile" in node.attr:
            cleared += int(node.attr["_XlaMustCompile"].b)
            del node.attr["_XlaMustCompile"]
    return cleared


def _clear_paths(graph_def: Any, assets: set[str]) -> None:
    """Tables are named after the absolute path of their vocabulary file, and asset constants hold it as their value."""
    for node in _nodes(graph_def):
        for key in ("shared_name", "container"):
            name = node.attr[key].s if key in node.attr else b""
            # `hidden_1/kernel` is no path: TFLite's converter finds a variable's restore op by this name.
            if b"/" in name and node.op != "VarHandleOp":
                node.attr[key].s = b"table_" + hashlib.sha256(name).hexdigest()[:16].encode()
        if node.op == "Const":
            values = node.attr["value"].tensor.string_val
            for at, value in enumerate(values):
                if value.startswith(b"/") and Path(value.decode(errors="replace")).name in assets:
                    values[at] = Path(value.decode()).name.encode()


def _nodes(graph_def: Any) -> Iterable[Any]:
    yield from graph_def.node
    for function in graph_def.library.function:
        yield from function.node_def


def _write_fingerprint(directory: Path) -> None:
    # fingerprint.pb is a hash of saved_model.pb's parts; a stale one makes the loader warn.
    from tensorflow.python.saved_model import fingerprinting_utils

    fingerprinting_utils.write_fingerprint(str(directory))
