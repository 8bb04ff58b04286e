"""The page is one file that asks nobody for anything, and a real browser draws it without an error."""

import re
from array import array
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from tests.measure.drawing import BROWSER, draw
from tests.measure.reports import MS, measurement, report, three_paths
from toolkit.measure import charts
from toolkit.measure.page import page
from toolkit.measure.plan import Threads
from toolkit.measure.report import Report
from toolkit.measure.table import PHASES

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


def charts_of(found: Report) -> dict[str, str]:
    """The drawings by their titles, with the notes below."""
    text = page(found).replace("&#x27;", "'")
    return dict(re.findall(r"<h2>([^<]*)</h2><figure>(.*?</figure>(?:<p class=\"note\">[^<]*</p>)*)", text, re.DOTALL))


def labels(drawing: str) -> list[str]:
    return re.findall(r'class="end">([^<]*)<', drawing)


def two_thread_settings() -> Report:
    found = three_paths()
    one = [replace(row, key=replace(row.key, threads=Threads(1, 1))) for row in found.measurements]
    return replace(found, measurements=(*found.measurements, *one))


def test_every_thread_setting_has_its_bars() -> None:
    found = charts_of(two_thread_settings())
    served = next(drawing for title, drawing in found.items() if "served call's time" in title)
    cold = next(drawing for title, drawing in found.items() if "Cold start" in title)
    assert labels(served) == ["grpc, 2 threads, batch 1", "grpc, 1 threads, batch 1"]
    assert labels(cold) == [
        f"{path}, {count} threads" for count in (2, 1) for path in ("eager", "graph", "onnx", "grpc")
    ]


def test_long_names_begin_on_the_page() -> None:
    """Letters are at most 6.6 wide at 12 px, as the browser draws them."""
    drawing = next(found for title, found in charts_of(two_thread_settings()).items() if "served call's" in title)
    ends = re.findall(r'<text x="([0-9.]+)" y="[0-9.]+" class="end">([^<]*)<', drawing)
    assert len(ends) == 2
    assert all(float(x) - 6.6 * len(name) >= 0 for x, name in ends)


def test_throughput_is_drawn_for_each_thread_setting(whole: Report) -> None:
    one = [replace(row, key=replace(row.key, threads=Threads(1, 1))) for row in whole.measurements]
    found = replace(whole, measurements=(*whole.measurements, *one))
    drawing = next(drawing for title, drawing in charts_of(found).items() if "Throughput" in title)
    assert sorted(re.findall(r"<title>([^<]*)</title>", drawing)) == [
        f"{path}, {count} threads" for path in ("eager", "graph") for count in (1, 2)
    ]


def test_bars_show_the_bounds_of_their_percentiles() -> None:
    uneven = replace(measurement("eager", MS), rounds=(array("q", range(MS, 3 * MS, 1000)),))
    (drawing,) = (found for title, found in charts_of(report([uneven])).items() if "p50 and p99" in title)
    assert re.findall(r"<title>([^<]*)</title>", drawing) == [
        "p50: 2 ms (99 %: 1.94 ms to 2.06 ms)",
        "p99: 2.98 ms (99 %: 2.97 ms to 2.99 ms)",
    ]
    whiskers = re.findall(r'<path d="M([0-9.]+) [0-9.]+H([0-9.]+)M[^"]*" class="whisker"/>', drawing)
    bars = re.findall(r'<rect x="([0-9.]+)" y="[0-9.]+" width="([0-9.]+)" height="[0-9]+" class="c\d"/><path', drawing)
    assert len(whiskers) == len(bars) == 2
    for (low, high), (left, width) in zip(whiskers, bars, strict=True):
        assert float(low) < float(left) + float(width) < float(high) <= charts.WIDTH - charts.RIGHT


def test_quick_draws_only_the_percentiles_that_it_asks_for() -> None:
    found = report([measurement("eager", 4 * MS, calls=1200, rounds=4)], "quick")
    assert "p50 and p90: mlp, batch 1, 2 threads" in charts_of(found)
    assert ">p99<" not in page(found).partition("<svg")[2]


def test_an_interrupted_report_says_so_in_its_title() -> None:
    found = replace(three_paths(), interrupted=True)
    assert page(found).count("tfx-export bench: mlp (interrupted)") == 2
    assert "interrupted" not in page(three_paths())


def test_whose_cold_start_that_of_a_served_path_is_stands_below_its_chart() -> None:
    (cold,) = (drawing for title, drawing in charts_of(three_paths()).items() if "Cold start" in title)
    assert "grpc: the cold start is the client's" in cold
    (cold,) = (
        drawing for title, drawing in charts_of(report([measurement("onnx", MS)])).items() if "Cold start" in title
    )
    assert "client" not in cold.partition("</svg>")[2]


def test_calls_too_short_for_the_clock_still_make_a_page() -> None:
    rows = [measurement(path, 0, batch_size=size) for path in ("eager", "graph") for size in (1, 32)]
    assert "Cold start" in page(report(rows))


def test_the_page_of_a_large_report_stays_small() -> None:
    """As large as `bench mlp transformer --full` at two batch sizes: millions of samples."""
    names = ("eager", *(f"path-{at}" for at in range(8)), "rest")
    calls = np.random.default_rng(0).gamma(2.0, 500_000.0, 1250).astype(np.int64) + 100_000
    phases = {phase: array("q", range(100_000)) for phase in PHASES}
    rows = []
    for at, name in enumerate(names):
        rounds = tuple(array("q", np.roll(calls // (at + 1), turn).tobytes()) for turn in range(120))
        row = replace(measurement(name, MS), rounds=rounds, phases_ns=phases if name == "rest" else {})
        keys = (replace(row.key, model=model, batch_size=size) for model in ("mlp", "transformer") for size in (1, 32))
        rows += [replace(row, key=key) for key in keys]
    found = replace(report(rows), models={"mlp": {}, "transformer": {}})
    assert sum(len(row.samples_ns) for row in found.measurements) == 6_000_000
    text = page(found)
    assert text.count("<svg") == 18
    assert len(text.encode()) < 6_000_000


LIGHT, DARK = (0xFF, 0xFF, 0xFF), (0x14, 0x17, 0x1C)


@BROWSER
@pytest.mark.parametrize(("face", "paper"), [("light", LIGHT), ("dark", DARK)])
def test_a_browser_draws_the_page_without_an_error(
    whole: Report, tmp_path: Path, face: str, paper: tuple[int, int, int]
) -> None:
    assert draw(page(whole), tmp_path, face) == paper


@BROWSER
def test_a_notebook_keeps_its_own_face_around_a_dark_report(whole: Report, tmp_path: Path) -> None:
    """A notebook that is light goes by its own settings; the report in it goes by the reader's."""
    fragment = whole._repr_html_()
    above = draw(f'<body style="margin:0"><div style="height: 40px"></div>{fragment}', tmp_path, "dark", 900)
    within = draw(f'<body style="margin:0">{fragment}', tmp_path, "dark", 900)
    assert (above, within) == (LIGHT, DARK)
