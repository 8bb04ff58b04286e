"""The script of the classic experiments: what its page says happened did happen, and the page in docs is one of its."""

import importlib.util
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.measure.reports import MACHINE, MS, measurement, report

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def script() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("eager_vs_graph", ROOT / "scripts" / "eager_vs_graph.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "eager_vs_graph", made)  # where AutoGraph looks for the source
        patch.setattr(sys, "path", list(sys.path))
        spec.loader.exec_module(made)
        yield made


def written(place: Path, **machine: object) -> str:
    found = report([measurement("eager", 4 * MS), measurement("graph", 2 * MS)], machine={**MACHINE, **machine})
    settings = {**found.settings, "batch_sizes": [1]}
    place.write_text(json.dumps({**found.to_json(), "settings": settings}))
    return str(place)


@pytest.fixture
def page(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    """The whole page, of few calls and a report made before."""
    monkeypatch.setattr(sys, "argv", ["eager_vs_graph.py", "--calls", "3", "--reports", written(tmp_path / "a.json")])
    script.main()
    return capsys.readouterr().out


def headings(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("## ")]


def test_the_page_is_what_was_seen(page: str) -> None:
    assert "Three calls of the graph printed 1 line" in page
    assert "The same three calls printed 3 lines" in page
    assert re.search(r"^\| Python numbers \| 50 \|", page, re.MULTILINE)
    assert re.search(r"^\| tensors \| 1 \|", page, re.MULTILINE)
    for published in ("0.00088 | 0.00121", "0.0696 | 0.0263", "2.71 ms | 1.79 ms | 1.52"):
        assert published in page
    once, hundred = (
        re.search(rf"^\| {count} x, without the print \|.*\| ([\d.]+) \| -", page, re.M) for count in (1, 100)
    )
    assert once is not None
    assert hundred is not None
    assert float(once.group(1)) < 1  # a call that traces is slower than an eager one
    assert re.search(r"^\| graph \*? ?\| (1\.99|2\.00) ms", page, re.MULTILINE)
    assert headings((ROOT / "docs" / "eager-vs-graph.md").read_text()) == headings(page)


def test_reports_of_unlike_machines_are_refused_before_anything_runs(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [written(tmp_path / "a.json"), written(tmp_path / "b.json", cpu="Another CPU")]
    monkeypatch.setattr(sys, "argv", ["eager_vs_graph.py", "--reports", files[0], "--reports", files[1]])
    with pytest.raises(SystemExit) as ended:
        script.main()
    said = capsys.readouterr()
    assert ended.value.code == 2
    assert said.out == ""
    assert "Known CPU and Another CPU" in said.err
