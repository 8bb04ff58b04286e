"""`build --matrix` prints one table for all models, writes it, and ends as any build would."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

Write = Callable[[str, str], Path]

NET = """
import tensorflow as tf
from toolkit import ModelSpec, TensorSpec

def net(x):
    return {"y": x * 2.0}

MODEL = ModelSpec("net", lambda: net, {"x": TensorSpec("float32", (None, 2))})
"""


def test_one_table_holds_every_model(write: Write, cli: Any, project: Path) -> None:
    write("models/net.py", NET)
    write("models/broken.py", "1 / 0")
    said = cli("build", "--matrix", "-q", "--formats", "saved_model,onnx")
    assert said.code == 2
    lines = [line.split() for line in said.out.splitlines()]
    assert lines[0] == ["model", "saved_model", "onnx"]
    assert lines[1] == ["broken", "error", "error"]
    assert lines[2][:2] == ["net", "pass"]
    assert lines[3] == ["passed", *["1", "of", "2", "1", "of", "2"]]
    assert "-> exported/matrix.md, exported/matrix.json" in said.out
    assert "| net | pass " in (project / "exported/matrix.md").read_text()
    assert (project / "exported/net/1").is_dir()


def test_json_is_the_list_of_manifests_as_ever(write: Write, cli: Any, project: Path) -> None:
    write("models/net.py", NET)
    said = cli("build", "--matrix", "--json", "--formats", "saved_model")
    assert [manifest["model"] for manifest in said.document["result"]] == ["net"]
    assert (project / "exported/matrix.json").exists()


def test_the_python_api_gives_the_same_table(write: Write, cli: Any, project: Path) -> None:
    import toolkit

    write("models/net.py", NET)
    found = toolkit.matrix("net", formats=["saved_model"])
    assert found.passed("saved_model") == 1
