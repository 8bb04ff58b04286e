"""A report goes to JSON and back, its figures agree with its records, and a real browser draws its page."""

import base64
import json
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader

from tests.measure.drawing import BROWSER, draw
from tests.measure.load.reports import report, two_loads
from tests.measure.load.world import MS, point
from tests.measure.reports import three_paths
from toolkit.errors import BenchError
from toolkit.measure.load.comparing import compare_loads
from toolkit.measure.load.page import page
from toolkit.measure.load.point import Point
from toolkit.measure.load.report import LoadReport
from toolkit.measure.load.tables import tables_of
from toolkit.measure.reading import compare_files, read_any

TITLES = ("Latency over time", "Percentiles", "Throughput against latency", "Where a request")


def test_a_report_survives_its_json() -> None:
    found = two_loads()
    again = LoadReport.from_json(found.to_json())
    assert again.to_json() == found.to_json()
    assert np.array_equal(again.points[0].corrected_ns, found.points[0].corrected_ns)


@pytest.mark.parametrize("damage", [{"schema": 99}, {"points": [{}]}, {"points": None}])
def test_what_is_no_report_is_refused(damage: dict[str, object]) -> None:
    with pytest.raises(BenchError):
        LoadReport.from_json(two_loads().to_json() | damage)


def test_damaged_columns_are_refused() -> None:
    document = two_loads().to_json()
    document["points"][0]["requests"]["due"] = base64.b64encode(b"nothing deflated").decode()
    with pytest.raises(BenchError):
        LoadReport.from_json(document)


def test_the_histogram_holds_what_the_records_hold() -> None:
    document = two_loads().points[0].to_json()
    found = HdrHistogram.decode(document["histograms"]["corrected"])
    assert found.get_total_count() == document["summary"]["corrected_ms"]["count"]
    for name in ("p50", "p90", "p99"):
        told = found.get_value_at_percentile(float(name[1:])) / 1e6
        assert told == pytest.approx(document["summary"]["corrected_ms"][name], rel=2e-3)


def test_the_log_has_a_histogram_for_each_second(tmp_path: Path) -> None:
    file = tmp_path / "load.hlog"
    file.write_text(two_loads().hdr_log())
    reader, counts = HistogramLogReader(str(file), HdrHistogram(1, 3_600_000_000_000, 3)), []
    while (part := reader.get_next_interval_histogram()) is not None:
        counts.append(part.get_total_count())
    reader.close()
    assert counts == [1000] * 6 + [375] * 8  # 3000 at 400 a second take 7.5 s, in eight equal parts


def test_files_of_both_kinds_are_known_by_what_they_say(tmp_path: Path) -> None:
    bench, load = tmp_path / "bench.json", tmp_path / "load.json"
    for file, found in ((bench, three_paths()), (load, two_loads())):
        file.write_text(json.dumps(found.to_json()))
    assert isinstance(read_any(load), LoadReport)
    with pytest.raises(BenchError, match="not compared"):
        compare_files(bench, load)


@pytest.mark.parametrize("content", ["", "[]", '{"kind": "other"}', '{"result": null}'])
def test_a_file_that_holds_no_report_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "file.json").write_text(content)
    with pytest.raises(BenchError):
        read_any(tmp_path / "file.json")


def test_loads_are_compared_only_with_the_same_load_on_the_same_machine() -> None:
    found = two_loads()
    with pytest.raises(BenchError, match="no load stands in both"):
        compare_loads(found, report(point([1 * MS] * 600, rate=77.0)))
    with pytest.raises(BenchError, match="unlike machines"):
        compare_loads(found, replace(found, machine={"cpu": "another"}))


def test_a_wrong_answer_is_compared_with_nothing() -> None:
    found = two_loads()
    wrong = replace(found, points=tuple(replace(one, problem="'y' is another") for one in found.points))
    assert {change.verdict for change in compare_loads(found, wrong).changes} == {"WRONG"}
    assert compare_loads(found, wrong).refusal(0.05) is not None
    assert {change.verdict for change in compare_loads(wrong, found).changes} == {"unknown"}
    assert compare_loads(wrong, found).refusal(0.05) is None


def test_a_load_that_is_gone_or_has_too_few_samples_is_lost_and_a_new_one_is_said() -> None:
    whole = two_loads()
    first, second = whole.points
    fewer = replace(whole, points=(first,))
    assert [(one.verdict, one.note) for one in compare_loads(whole, fewer).changes][2:] == [
        ("lost", "not in the new report")
    ] * 2
    assert compare_loads(whole, fewer).refusal(0.05) is not None
    assert compare_loads(fewer, whole).changes[-1].note == "not in the base report"
    assert compare_loads(fewer, whole).refusal(0.05) is None
    short = report(first, point([1 * MS] * 300, rate=400.0))
    assert second.shape == short.points[1].shape
    assert [one.verdict for one in compare_loads(whole, short).changes][2:] == ["no difference", "lost"]
    assert [one.verdict for one in compare_loads(short, whole).changes][2:] == ["no difference", "unknown"]


def happened() -> Point:
    return replace(two_loads().points[0], events=((2.0, "version 2 appears"), (3.0, "version 1 END")))


def test_what_happened_meanwhile_parts_the_run() -> None:
    table = next(one for one in tables_of(report(happened())) if one.title == "while it happened")
    assert [(row[1], row[2]) for row in table.rows] == [("before", "2,000"), ("during", "1,000"), ("after", "3,000")]


def test_the_page_shows_every_chart_and_names_no_place_outside() -> None:
    text = page(replace(two_loads(), found={"knee": {"said": "knee: 400/s"}}))
    assert [title for title in TITLES if title not in text] == []
    assert re.findall(r"https?://|<script|@import|url\(", text) == []
    drawings = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(drawings) == 4
    for drawing in drawings:
        ElementTree.fromstring(drawing)
    assert ">p99<" in text  # nines are evenly spaced on the axis of percentiles
    assert two_loads()._repr_html_() in page(two_loads())


def test_a_page_of_nothing_is_a_page_still() -> None:
    nothing = point([1 * MS] * 10)
    nothing = replace(nothing, records=nothing.records.between(-2, -1), words={"UNAVAILABLE": "nobody there"})
    assert "nobody there" in page(report(nothing))


@BROWSER
@pytest.mark.parametrize("face", ["light", "dark"])
def test_a_browser_draws_the_page_without_an_error(tmp_path: Path, face: str) -> None:
    draw(page(report(*two_loads().points, happened())), tmp_path, face)
