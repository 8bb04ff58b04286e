"""The matrix says of each model and format what became of it, in text, Markdown and JSON alike."""

import json
from pathlib import Path

import pytest

from toolkit.building.matrix import Matrix
from toolkit.building.pipeline import Outcome
from toolkit.core.artifact import Artifact, Manifest, Source
from toolkit.core.parity import Parity
from toolkit.errors import CatalogError, StoreError


def artifact(name: str, parity: Parity, size_bytes: int) -> Artifact:
    return Artifact(name, name, "", name, {}, size_bytes, "", {}, 0.26, parity)


def outcome(model: str, *artifacts: Artifact) -> Outcome:
    return Outcome(Manifest(model, 1, "", {}, Source("x", ""), {}, {}, artifacts), None)


MATRIX = Matrix.of(
    ["net.py", "text", "gone.py"],
    [
        outcome("net", artifact("saved_model", Parity("pass"), 12_340), artifact("onnx", Parity("pass"), 999)),
        outcome(
            "text",
            artifact("saved_model", Parity("pass"), 2_500_000),
            artifact("onnx", Parity("skipped", "ONNX has no a|b (layer x)"), 0),
        ),
        CatalogError("there is no file gone.py"),
    ],
)


def test_the_table_has_a_row_a_model_and_counts_what_passed() -> None:
    headings, rows = MATRIX.table()
    assert headings == ["model", "saved_model", "onnx"]
    assert rows == [
        ["net", "pass 12.3 kB 0.3 s", "pass 999 B 0.3 s"],
        ["text", "pass 2.5 MB 0.3 s", "skipped"],
        ["gone.py", "error", "error"],
        ["passed", "2 of 3", "1 of 3"],
    ]


def test_the_files_hold_the_table_and_the_reasons(tmp_path: Path) -> None:
    page, document = MATRIX.write(tmp_path / "exported")
    lines = page.read_text().splitlines()
    assert lines[0] == "| model | saved_model | onnx |"
    assert "- text as onnx skipped: ONNX has no a\\|b (layer x)" in lines
    assert "- gone.py: there is no file gone.py" in lines
    found = json.loads(document.read_text())
    assert [row["model"] for row in found["models"]] == ["net", "text", "gone.py"]
    assert found["models"][1]["artifacts"][1]["status"] == "skipped"
    assert sorted(path.name for path in page.parent.iterdir()) == ["matrix.json", "matrix.md"]


def test_a_folder_that_cannot_be_written_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError):
        MATRIX.write(tmp_path / "file")
