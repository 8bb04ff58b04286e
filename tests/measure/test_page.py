"""The page is one file that asks nobody for anything, and a real browser draws it without an error."""

import re
import shutil
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.measure.drawing import draw
from tests.measure.reports import MS, measurement, report, three_paths
from toolkit.measure.page import page
from toolkit.measure.report import Report

TITLES = (
    *(
        "Latency distributions",
        "p50 and p99",
        "Break-even",
        "Throughput against batch",
        "Where a served call's time goes",
    ),
    *("Cold start", "the graph"),
)


@pytest.fixture
def whole() -> Report:
    """Every chart has something to show."""
    found = three_paths()
    batches = (measurement("eager", 8 * MS, batch_size=32), measurement("graph", 3 * MS, batch_size=32))
    return replace(found, measurements=(*found.measurements, *batches))


def test_the_page_shows_every_chart(whole: Report) -> None:
    text = page(whole)
    assert [title for title in TITLES if title.replace("'", "&#x27;") not in text] == []
    assert len(text.encode()) < 6_000_000


def test_the_page_names_no_place_outside(whole: Report) -> None:
    text = page(whole)
    assert re.findall(r"https?://|<script|@import|url\(|<link(?! rel=\"icon\" href=\"data:)", text) == []
    assert "prefers-color-scheme: dark" in text


def test_every_drawing_is_well_formed(whole: Report) -> None:
    drawings = re.findall(r"<svg.*?</svg>", page(whole), re.DOTALL)
    assert len(drawings) >= 8
    for drawing in drawings:
        ElementTree.fromstring(drawing)


def test_names_from_a_model_are_text_and_not_markup() -> None:
    found = report([measurement("<script>alert(1)</script>", MS)])
    assert "<script" not in page(found)


def test_a_notebook_shows_the_same(whole: Report) -> None:
    assert whole._repr_html_() in page(whole)


def test_a_report_without_times_still_makes_a_page() -> None:
    absent = replace(measurement("eager", MS), absent="no eager form", rounds=())
    assert "no eager form" in page(report([absent]))


@pytest.mark.skipif(shutil.which("chromium") is None, reason="Debian's chromium is not installed")
@pytest.mark.parametrize("face", ["light", "dark"])
def test_a_browser_draws_the_page_without_an_error(whole: Report, tmp_path: Path, face: str) -> None:
    draw(page(whole), tmp_path, face)
