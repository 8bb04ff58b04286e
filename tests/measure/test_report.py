"""A report keeps raw samples, computes its summaries, says what does not count, and refuses what cannot be merged."""

import csv
import io
import json
from array import array
from dataclasses import replace
from pathlib import Path

import pytest

from tests.measure.reports import MACHINE, MS, measurement, report, three_paths
from toolkit.errors import BenchError
from toolkit.measure.measurement import Status
from toolkit.measure.plan import EFFORTS, Threads
from toolkit.measure.report import Report, merged, read_report
from toolkit.measure.sampling import WarmUp
from toolkit.measure.table import readable_s, tables_of, to_csv, to_markdown


def test_a_report_survives_json() -> None:
    found = three_paths()
    again = Report.from_json(json.loads(json.dumps(found.to_json())))
    assert again == found
    assert again.measurements[0].rounds[0] == found.measurements[0].rounds[0]


def test_the_answer_of_json_mode_is_read_too(tmp_path: Path) -> None:
    file = tmp_path / "base.json"
    file.write_text(json.dumps({"schema": 1, "command": "bench", "result": three_paths().to_json()}))
    assert read_report(file) == three_paths()


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"kind": "other", "schema": 1}', '{"kind": "tfx-export bench", "schema": 9}']
)
def test_what_is_no_report_is_said(tmp_path: Path, text: str) -> None:
    file = tmp_path / "base.json"
    file.write_text(text)
    with pytest.raises(BenchError, match=r"base\.json"):
        read_report(file)


def test_a_steady_path_is_valid() -> None:
    assert measurement("graph", 2 * MS).status(EFFORTS["normal"]) == (Status.VALID, "")


@pytest.mark.parametrize(
    ("spoiled", "reason"),
    [
        (measurement("graph", 2 * MS, calls=30), "5 s wanted"),
        (measurement("graph", 200 * MS, calls=6), "p99 needs 459 calls, there are 60"),
        (
            replace(measurement("graph", 2 * MS), warm_up=WarmUp(12, 2_000_000_000, flat=False)),
            "not warm after 12 calls",
        ),
        (
            replace(measurement("graph", 2 * MS), rounds=tuple(array("q", [at * MS] * 100) for at in range(1, 11))),
            "not flat",
        ),
    ],
)
def test_what_keeps_a_figure_from_counting_is_said_and_the_figure_shown(spoiled: object, reason: str) -> None:
    assert isinstance(spoiled, type(measurement("graph", 1)))
    status, why = spoiled.status(EFFORTS["normal"])
    assert status is Status.INVALID
    assert reason in why
    assert spoiled.timed


def test_quick_alone_makes_no_figure_invalid() -> None:
    quick = measurement("graph", 2 * MS, rounds=4, calls=150)
    assert quick.status(EFFORTS["quick"])[0] is Status.VALID
    assert quick.status(EFFORTS["normal"])[0] is Status.INVALID


def test_a_wrong_path_gets_no_time() -> None:
    wrong = replace(measurement("onnx", 1 * MS), problem="output 'probabilities' at [0, 3]: expected 0.1, actual 0.11")
    found = report([measurement("eager", 4 * MS), wrong])
    assert wrong.status(found.effort)[0] is Status.WRONG
    assert found.speedup(wrong) is None
    row = next(row for row in tables_of(found)[0].rows if row[0] == "onnx")
    assert row[-1] == "WRONG"
    assert set(row[1:-1]) == {"-"}
    assert found.fastest(wrong.key) is found.measurements[0]


def test_the_fastest_path_is_marked_and_compared_with_eager() -> None:
    found = report([measurement("eager", 4 * MS), measurement("graph", 2 * MS), measurement("xla", 3 * MS)])
    rows = {row[0]: row for row in tables_of(found)[0].rows}
    assert set(rows) == {"eager", "graph *", "xla"}
    assert rows["graph *"][6].startswith("2.00 [")
    assert rows["graph *"][-1] == "faster"


def test_a_percentile_without_its_samples_says_what_it_needs() -> None:
    rows = tables_of(report([measurement("eager", 4 * MS, calls=30)]))[0].rows
    assert "n/a (needs 459)" in rows[0]
    assert "n/a (needs 4603)" in rows[0]


def test_break_even_counts_trace_and_first_call() -> None:
    eager, graph = measurement("eager", 4 * MS), measurement("graph", 2 * MS)
    eager = replace(eager, cold_s={"first call": 0.05})
    assert report([eager, graph]).break_even(graph) == pytest.approx(100, abs=1)  # 0.2 s of trace at 2 ms saved a call


def test_the_worth_of_grappler_and_threads_is_a_row_each() -> None:
    graph, plain = measurement("graph", 2 * MS), measurement("graph-plain", 3 * MS)
    single = replace(graph, key=replace(graph.key, threads=Threads(1, 1)), rounds=measurement("", 4 * MS).rounds)
    table = next(found for found in tables_of(report([graph, plain, single])) if "worth" in found.title)
    assert [(row[0], row[3].split(" ")[0], row[4]) for row in table.rows] == [
        ("Grappler on", "1.50", "faster"),
        ("2 threads in place of 1", "2.00", "faster"),
    ]


def test_the_table_says_what_was_left_out() -> None:
    found = report([replace(measurement("grpc", 2 * MS), caveat="its state is the server's")])
    found = replace(found, settings={**found.settings, "device_inputs": True})
    assert tables_of(found)[0].notes[1:3] == (
        "grpc: its state is the server's",
        "inputs were tensors already where a path takes them: their conversion is not counted",
    )
    assert Report.from_json(found.to_json()) == found


def test_cold_starts_and_warm_ups_are_told_by_thread_setting() -> None:
    graph = measurement("graph", 2 * MS)
    single = replace(graph, key=replace(graph.key, threads=Threads(1, 2)))
    table = next(found for found in tables_of(report([graph, single])) if "cold" in found.title)
    assert [(row[0], row[6], row[7]) for row in table.rows] == [
        ("graph, 2 threads", "2.65 s", "100 calls, 1.00 s"),
        ("graph, 1x2 threads", "2.65 s", "100 calls, 1.00 s"),
    ]


def test_reports_of_unlike_machines_are_not_merged() -> None:
    other = report([measurement("xla", MS)], machine=MACHINE | {"cpu": "Other CPU"})
    with pytest.raises(BenchError, match="Known CPU and Other CPU"):
        merged([three_paths(), other])
    with pytest.raises(BenchError, match="effort"):
        merged([three_paths(), report([measurement("xla", MS)], "quick")])


def test_reports_of_one_machine_are_merged_row_by_row() -> None:
    found = merged([three_paths(), report([measurement("onnx", MS), measurement("xla", MS)])])
    assert [row.key.path for row in found.measurements] == ["eager", "graph", "onnx", "grpc", "xla"]
    assert found.measurements[2].median_s == pytest.approx(1e-3)


def test_markdown_and_csv_hold_every_row() -> None:
    found = three_paths()
    text = to_markdown(tables_of(found))
    assert all(f"| {row.key.path}" in text for row in found.measurements)
    lines = list(csv.DictReader(io.StringIO(to_csv(found))))
    assert [line["path"] for line in lines] == [row.key.path for row in found.measurements]
    assert float(lines[1]["p50_s"]) == pytest.approx(2e-3)
    assert float(lines[1]["speedup"]) == pytest.approx(2)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0000123, "12.3 µs"), (0.00025, "250 µs"), (0.0025, "2.50 ms"), (2.0, "2.00 s")]
)
def test_times_are_readable(seconds: float, text: str) -> None:
    assert readable_s(seconds) == text


def test_served_time_is_shown_phase_by_phase() -> None:
    table = next(found for found in tables_of(three_paths()) if "served" in found.title)
    row = dict(zip(table.headings, table.rows[0], strict=True))
    assert (row["compute"], row["network"], row["client decode"]) == ("2.00 ms", "500 µs", "-")


def test_a_row_whose_baseline_does_not_count_says_so() -> None:
    rows = tables_of(report([measurement("eager", 4 * MS, calls=30), measurement("graph", 2 * MS)]))[0].rows
    assert [row[-1] for row in rows] == ["INVALID", "faster (eager INVALID)"]
