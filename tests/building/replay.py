"""Replays the golden cases of bundles with NumPy and runtimes alone: `replay.py BUNDLE...`, as docs/bundle.md tells.

Neither this project, nor Keras, nor the models' own code can be imported here: a graph outlives its Python code.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib.machinery import BuiltinImporter, FrozenImporter, PathFinder
from pathlib import Path
from typing import Any

import numpy as np

BLOCKED = {"toolkit", "keras", "tf_keras", "models", "tests", "scripts"}
Case = tuple[str, str]
Tensors = dict[str, dict[str, Any]]
Run = Callable[[Mapping[str, Any]], Mapping[str, Any]]


class Without(PathFinder):
    """Finds modules as ever, but for those that would bring the model's code back: they are as not installed."""

    @classmethod
    def find_spec(cls, fullname: str, path: Any = None, target: Any = None) -> Any:
        return None if fullname.split(".", maxsplit=1)[0] in BLOCKED else super().find_spec(fullname, path, target)


def documented_reader() -> Callable[[Path], dict[Case, Tensors]]:
    """The reader of golden.npz that stands in the documentation."""
    document = Path(__file__).parents[2] / "docs" / "bundle.md"
    blocks = document.read_text(encoding="utf-8").split("```python\n")[1:]
    code = next(block.partition("```")[0] for block in blocks if "def read_golden" in block)
    names: dict[str, Any] = {}
    exec(code, names)
    return names["read_golden"]


def in_tensorflow(path: Path, signature: str) -> Run:
    import tensorflow as tf

    function = tf.saved_model.load(str(path)).signatures[signature]
    kept.append(function)
    return lambda feed: {
        name: tensor.numpy()
        for name, tensor in function(**{key: tf.constant(value) for key, value in feed.items()}).items()
    }


def in_session(path: Path, signature: str) -> Run:
    import tensorflow as tf

    session = tf.compat.v1.Session(graph=tf.Graph())
    with session.graph.as_default():
        meta_graph = tf.compat.v1.saved_model.loader.load(session, ["serve"], str(path))
    entry = meta_graph.signature_def[signature]
    outputs = {name: info.name for name, info in entry.outputs.items()}
    return lambda feed: session.run(outputs, {entry.inputs[key].name: value for key, value in feed.items()})


def in_litert(path: Path, signature: str) -> Run:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    kept.append(interpreter)
    runner = interpreter.get_signature_runner(signature)
    return lambda feed: runner(**feed)


def in_onnxruntime(path: Path, _: str) -> Run:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path))
    names = [output.name for output in session.get_outputs()]
    return lambda feed: dict(zip(names, session.run(names, dict(feed)), strict=True))


kept: list[Any] = []
RUNTIMES: dict[str, list[Callable[[Path, str], Run]]] = {
    "saved_model": [in_tensorflow, in_session],
    "tflite": [in_litert],
    "onnx": [in_onnxruntime],
}


def replay(bundle: Path) -> Iterator[str]:
    """A line for every artifact, signature and runtime that gave the golden answers."""
    manifest = json.loads((bundle / "manifest.json").read_text())
    cases = documented_reader()(bundle / "golden.npz")
    for artifact in manifest["artifacts"]:
        for signature, relative in artifact["paths"].items():
            if (bundle / relative).with_name(f"{signature}.split.json").exists():
                continue  # its file holds the numeric part alone
            for runtime in RUNTIMES[artifact["format"]]:
                run = runtime(bundle / relative, signature)
                own = [tensors for (name, _), tensors in cases.items() if name == signature]
                for tensors in own:
                    check(run(tensors["feed"]), tensors["output"])
                yield f"{manifest['model']} {artifact['name']} {signature} {runtime.__name__} {len(own)}"


def check(actual: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    for name, wanted in expected.items():
        if wanted.dtype.kind == "f":
            np.testing.assert_allclose(actual[name], wanted, rtol=1e-4, atol=1e-5)
        else:
            np.testing.assert_array_equal(actual[name], wanted)


if __name__ == "__main__":
    sys.meta_path[:] = [BuiltinImporter, FrozenImporter, Without]
    for folder in sys.argv[1:]:
        for line in replay(Path(folder)):
            sys.stdout.write(f"{line}\n")
    sys.stdout.write(f"blocked: {sorted(BLOCKED & {name.split('.')[0] for name in sys.modules})}\n")
