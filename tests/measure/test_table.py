"""Tables and CSV say no more than was measured, and below them stands what one must know of the run."""

import csv
import io
from array import array
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.measure.reports import MS, measurement, report, three_paths
from toolkit.measure.measurement import Measurement
from toolkit.measure.plan import Threads
from toolkit.measure.report import Report
from toolkit.measure.table import Table, tables_of, to_csv, to_markdown

GRPC_START = "grpc: the cold start is the client's, of a server that runs already; the memory is the server's"


def table_of(found: Report, title: str) -> Table:
    return next(table for table in tables_of(found) if title in table.title)


def verdicts(table: Table) -> list[str]:
    return [row[-1] for row in table.rows]


def lines_of(found: Report) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(to_csv(found))))


def asked(found: Report, **settings: Any) -> Report:
    return replace(found, settings={**found.settings, **settings})


def threads(found: Measurement, count: int) -> Measurement:
    return replace(found, key=replace(found.key, threads=Threads(count, count)))


def interrupted(measurements: Sequence[Measurement]) -> Report:
    return replace(report(measurements), interrupted=True)


def unbegun(path: str) -> Measurement:
    return replace(measurement(path, MS), cold_s={}, warm_up=None, rounds=(), peak_bytes=None)


def test_throughput_and_memory_are_those_of_the_samples() -> None:
    (row,) = tables_of(report([measurement("eager", 4 * MS, batch_size=32)]))[0].rows
    assert row[5] == "8,000"
    assert row[9] == "500 MB"
    absent = replace(measurement("eager", 4 * MS), peak_bytes=None)
    assert tables_of(report([absent]))[0].rows[0][9] == "-"


def test_outliers_are_counted_over_all_paths() -> None:
    spiked = replace(measurement("graph", 2 * MS), rounds=(*measurement("", 2 * MS).rounds, array("q", [90 * MS] * 7)))
    notes = tables_of(report([measurement("eager", 4 * MS), spiked]))[0].notes
    assert "7 outliers of 6007 samples kept" in notes
    assert not any("outliers" in note for note in tables_of(three_paths())[0].notes)


def test_the_mark_of_the_fastest_path_is_explained_where_there_is_one() -> None:
    assert (
        "fastest (*): the least p50 of all paths whose answers are right and whose figures count"
        in tables_of(three_paths())[0].notes
    )
    doubtful = report([measurement("eager", 4 * MS, calls=30)])
    assert not any(note.startswith("fastest") for note in tables_of(doubtful)[0].notes)


@pytest.mark.parametrize(
    ("with_calls", "without_calls", "verdict"),
    [(300, 300, "faster"), (30, 300, "INVALID"), (300, 30, "faster ({} INVALID)"), (30, 30, "INVALID")],
)
def test_what_something_is_worth_counts_only_where_both_rows_do(
    with_calls: int, without_calls: int, verdict: str
) -> None:
    graph = measurement("graph", 2 * MS, calls=with_calls)
    plain = measurement("graph-plain", 4 * MS, calls=without_calls)
    assert verdicts(table_of(report([graph, plain]), "worth")) == [verdict.format("graph-plain")]
    single = threads(replace(plain, key=graph.key), 1)
    assert verdicts(table_of(report([graph, single]), "worth")) == [verdict.format("1 threads")]


def test_an_interrupted_report_says_so_everywhere() -> None:
    found = interrupted([measurement("eager", 4 * MS), unbegun("xla")])
    table = tables_of(found)[0]
    assert table.notes[0] == "interrupted: these are the figures of the time until then"
    assert verdicts(table) == ["baseline", "not measured (interrupted)"]
    assert not any("0.0 s of calls" in note for note in table.notes)
    assert "- interrupted: these are" in to_markdown([table])
    assert [(line["status"], line["reason"], line["interrupted"]) for line in lines_of(found)] == [
        ("valid", "", "True"),
        ("not measured", "interrupted", "True"),
    ]
    assert [line["interrupted"] for line in lines_of(three_paths())] == ["False"] * 4


def test_a_path_without_samples_is_excused_by_an_interruption_only() -> None:
    assert verdicts(tables_of(report([measurement("eager", 4 * MS), unbegun("xla")]))[0]) == ["baseline", "INVALID"]
    absent = replace(unbegun("xla"), absent="it does not compile")
    assert verdicts(tables_of(interrupted([measurement("eager", 4 * MS), absent]))[0]) == ["baseline", "n/a"]


def test_an_interruption_before_the_first_path_is_said_too() -> None:
    assert "interrupted" in to_markdown(tables_of(interrupted([])))
    assert tables_of(report([])) == []


def test_the_cold_start_of_a_served_path_is_the_client_s_and_says_so() -> None:
    found = three_paths()
    assert GRPC_START in tables_of(found)[0].notes
    assert table_of(found, "cold").notes == (GRPC_START,)
    local = report([measurement("eager", 4 * MS), measurement("onnx", MS)])
    assert table_of(local, "cold").notes == ()


def test_what_batch_sizes_have_in_common_is_told() -> None:
    sizes = [measurement("eager", 4 * MS, batch_size=size) for size in (1, 32)]
    said = "cold start, break-even and memory: of processes called with batch 1 first, then with 32"
    assert all(said in table_of(report(sizes), f"batch {size},").notes for size in (1, 32))
    assert not any("first, then" in note for table in tables_of(report(sizes[:1])) for note in table.notes)


def test_device_and_server_of_a_run_are_told() -> None:
    notes = tables_of(asked(three_paths(), device="GPU:0", server="there:8500"))[0].notes
    assert "TensorFlow's paths ran on GPU:0, copies to it and back counted" in notes
    assert "grpc: answered by the server at there:8500" in notes
    assert [note for note in tables_of(asked(three_paths(), device="", server=""))[0].notes if ":0" in note] == []
    line = lines_of(asked(three_paths(), device="GPU:0", server="there:8500", device_inputs=True))[0]
    assert (line["device"], line["server"], line["device_inputs"]) == ("GPU:0", "there:8500", "True")


def test_the_bounds_of_percentiles_are_in_the_csv() -> None:
    line = lines_of(report([measurement("eager", 4 * MS)]))[0]
    for name, middle in (("p50", 4e-3), ("p90", 4.016e-3), ("p99", 4.02e-3)):
        low, value, high = (float(line[f"{name}{column}"]) for column in ("_low_s", "_s", "_high_s"))
        assert low <= value <= high
        assert value == pytest.approx(middle, rel=1e-3)
    uneven = replace(measurement("eager", MS), rounds=(array("q", range(MS, MS + 3000)), array("q", [MS] * 10)))
    line = lines_of(report([uneven]))[0]
    assert float(line["p50_low_s"]) < float(line["p50_s"]) < float(line["p50_high_s"])
    assert (line["p99.9_s"], line["p99.9_low_s"], line["p99.9_high_s"]) == ("", "", "")


def test_old_columns_of_the_csv_keep_their_places() -> None:
    assert to_csv(three_paths()).startswith(
        "model,path,batch_size,intra_threads,inter_threads,status,reason,samples,p50_s,p90_s,p99_s,p99.9_s,"
        "rows_per_s,speedup,speedup_low,speedup_high,break_even_calls,peak_bytes,"
    )


def test_quick_shows_only_the_percentiles_that_it_asks_for() -> None:
    found = report([measurement("eager", 4 * MS, calls=1200, rounds=4)], "quick")
    assert tables_of(found)[0].rows[0][1:5] == ("4.00 ms", "4.02 ms", "-", "-")
    line = lines_of(found)[0]
    assert line["p90_s"]
    assert {line[f"p{one}{bound}_s"] for one in ("99", "99.9") for bound in ("", "_low", "_high")} == {""}


def test_never_breaking_even_and_nothing_to_break_even_with_differ() -> None:
    slow, fast = measurement("graph", 5 * MS), measurement("onnx", 2 * MS)
    found = [line["break_even_calls"] for line in lines_of(report([measurement("eager", 4 * MS), slow, fast]))]
    assert found == ["", "never", "1"]
    assert [line["break_even_calls"] for line in lines_of(report([slow]))] == [""]


@pytest.mark.parametrize("still", [("eager",), ("graph",), ("eager", "graph", "graph-plain")])
def test_calls_too_short_for_the_clock_are_shown_without_a_rate(still: tuple[str, ...]) -> None:
    rows = [measurement(path, 0 if path in still else 2 * MS) for path in ("eager", "graph", "graph-plain")]
    found = report(rows)
    table = tables_of(found)[0]
    assert [row[5] for row in table.rows] == [
        "-" if path in still else "500" for path in ("eager", "graph", "graph-plain")
    ]
    assert table.rows[1][6] == "-"
    assert lines_of(found)[1]["speedup"] == ""
    assert all(np.isfinite(float(line["p50_s"])) for line in lines_of(found))
