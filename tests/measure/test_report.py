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
from toolkit.measure.measurement import Key, Measurement, Status
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


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ({"rounds_ns": [[1, 2**63]]}, "OverflowError"),
        ({"rounds_ns": [[5, 0]]}, "took no time"),
        ({"rounds_ns": [[5, -5]]}, "took no time"),
        ({"rounds_ns": [[5], [6]], "processes": [0]}, "rounds of no process"),
    ],
)
def test_a_report_that_no_benchmark_could_have_written_is_refused(damage: dict[str, object], said: str) -> None:
    document = three_paths().to_json()
    document["measurements"][0] |= damage
    with pytest.raises(BenchError, match=f"no benchmark report: .*{said}") as refused:
        Report.from_json(document)
    assert "bench --json" in refused.value.hint


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


EAGER, GRAPH = measurement("eager", 4 * MS), measurement("graph", 2 * MS)
GONE = {path: Measurement(Key("mlp", path, 1, Threads(2, 2)), absent="it died") for path in ("eager", "grpc", "xla")}


@pytest.mark.parametrize(
    ("settings", "baseline", "rows", "unmet"),
    [
        ({}, "eager", [EAGER, GONE["xla"]], []),
        ({"paths": ["graph"]}, "eager", [EAGER, GRAPH, GONE["xla"]], []),
        ({"paths": ["xla"]}, "eager", [EAGER, GONE["xla"]], ["xla"]),
        ({}, "eager", [GONE["eager"], GRAPH], ["eager"]),
        ({}, "restored", [GONE["eager"], GRAPH], []),
        ({"paths": ["eager"]}, "restored", [GONE["eager"], GRAPH], ["eager"]),
        ({"server": ""}, "eager", [EAGER, GONE["grpc"]], []),
        ({"server": "127.0.0.1:1"}, "eager", [EAGER, GONE["grpc"]], ["grpc"]),
        ({"server": "http://127.0.0.1:1"}, "eager", [EAGER, GONE["grpc"]], []),
    ],
)
def test_what_was_asked_for_and_could_not_run_is_unmet(
    settings: dict[str, object], baseline: str, rows: list[Measurement], unmet: list[str]
) -> None:
    found = replace(report(rows), models={"mlp": {"baseline": baseline}})
    found = replace(found, settings={**found.settings, **settings})
    assert [key.path for key, _, _ in found.unmet] == unmet
    assert found.invalid == [f"mlp {path} at batch 1, 2 threads: n/a: it died" for path in unmet]


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


@pytest.mark.parametrize(
    ("settings", "signature", "said"),
    [
        ({"device": "GPU:0"}, "a", "device: none and GPU:0"),
        ({"device_inputs": True}, "a", "device_inputs: none and True"),
        ({"server": "host:1"}, "a", "server: none and host:1"),
        ({}, "b", "signature of mlp: a and b"),
    ],
)
def test_reports_of_unlike_settings_are_not_merged(settings: dict[str, object], signature: str, said: str) -> None:
    def asked(name: str, **more: object) -> Report:
        plain = {"device": "", "device_inputs": False, "server": ""}
        found = three_paths()
        return replace(found, settings={**found.settings, **plain, **more}, models={"mlp": {"signature": name}})

    with pytest.raises(BenchError, match=f"not merged: {said}"):
        merged([asked("a"), asked(signature, **settings)])
    assert merged([asked("a"), three_paths()]).models == three_paths().models  # older ones do not say


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
