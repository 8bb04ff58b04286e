"""How rewrites are found and put in order."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from toolkit.formats import rewrites
from toolkit.formats.rewrites.rewrite import Stage, rewrites_for

PLANTED = """
from toolkit.formats.rewrites.rewrite import Rewrite, Stage
REWRITE = Rewrite("planted", ("onnx",), Stage.TYPES, lambda _: False, lambda frozen: frozen)
"""


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "planted.py").write_text(PLANTED)
    monkeypatch.setattr(rewrites, "__path__", [*rewrites.__path__, str(tmp_path)])
    rewrites_for.cache_clear()
    yield
    rewrites_for.cache_clear()


def test_one_file_adds_a_rewrite_to_its_formats_in_its_turn(planted: None) -> None:
    names = [one.name for one in rewrites_for("onnx") if one.stage is Stage.TYPES]
    assert "planted" in names
    assert names == sorted(names)
    assert "planted" not in [one.name for one in rewrites_for("tflite")]


@pytest.mark.parametrize("kind", ["tflite", "onnx"])
def test_rewrites_come_stage_by_stage_and_by_name(kind: str) -> None:
    found = [(one.stage, one.name) for one in rewrites_for(kind)]
    assert found == sorted(found)
    assert len(found) == len(set(found)) > 1


def test_a_rewrite_is_called_as_its_file() -> None:
    files = {path.stem for path in Path(rewrites.__path__[0]).glob("*.py")}
    assert {one.name.replace("-", "_") for kind in ("tflite", "onnx") for one in rewrites_for(kind)} <= files
