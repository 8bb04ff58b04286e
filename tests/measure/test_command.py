"""The command line of `bench`: its exit codes, what it writes, and what it does not take."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.measure.reports import MS, measurement, report, three_paths
from toolkit.cli.main import run
from toolkit.measure import bench
from toolkit.measure.bench import BenchRequest
from toolkit.measure.plan import Threads
from toolkit.measure.report import Report, read_report

Measured = Callable[[Report], list[BenchRequest]]


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Measured:
    """Lets `bench` find a report without measuring; gives what it was asked for."""

    def use(found: Report) -> list[BenchRequest]:
        asked: list[BenchRequest] = []

        def measure(request: BenchRequest, progress: object) -> Report:
            asked.append(request)
            return found

        monkeypatch.setattr(bench, "measure", measure)
        return asked

    return use


def test_the_table_is_the_answer(measured: Measured, capsys: pytest.CaptureFixture[str]) -> None:
    measured(three_paths())
    assert run(["bench", "mlp", "-q"]) == 0
    text = capsys.readouterr().out
    assert "graph *" in text
    assert "2.00 [1.96, 2.04]" in text
    assert "where a served call's time goes" in text


def test_json_is_a_report_that_compare_reads(
    measured: Measured, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    measured(three_paths())
    assert run(["bench", "mlp", "--json"]) == 0
    file = tmp_path / "base.json"
    file.write_text(capsys.readouterr().out)
    assert read_report(file) == three_paths()
    assert run(["compare", str(file), str(file), "--json", "--fail-above", "1%"]) == 0
    assert {one["verdict"] for one in json.loads(capsys.readouterr().out)["result"]["changes"]} == {"no difference"}


def test_files_are_written_beside_the_table(measured: Measured, tmp_path: Path) -> None:
    measured(three_paths())
    files = {flag: tmp_path / flag for flag in ("markdown", "csv", "report")}
    assert run(["bench", "mlp", "-q", *(f"--{flag}={file}" for flag, file in files.items())]) == 0
    assert files["markdown"].read_text().startswith("### mlp, batch 1")
    assert files["csv"].read_text().startswith("model,path")
    assert files["report"].read_text().startswith("<!doctype html>")


SHORT = report([measurement("eager", 4 * MS, calls=20)])
WRONG = report([measurement("eager", 4 * MS), replace(measurement("onnx", MS), problem="expected 1, actual 2")])


@pytest.mark.parametrize(
    ("found", "flags", "code"),
    [
        (SHORT, [], 0),
        (SHORT, ["--strict"], 7),
        (WRONG, ["--strict"], 7),
        (three_paths(), ["--strict"], 0),
        (replace(three_paths(), interrupted=True), [], 130),
    ],
)
def test_the_exit_code_says_whether_the_figures_count(
    found: Report, flags: list[str], code: int, measured: Measured, capsys: pytest.CaptureFixture[str]
) -> None:
    measured(found)
    assert run(["bench", "mlp", "-q", *flags]) == code
    assert "eager" in capsys.readouterr().out  # what there is, is shown


def test_options_become_the_request(measured: Measured) -> None:
    asked = measured(three_paths())
    flags = ["--paths", "graph, onnx", "--batch", "1", "--batch", "32", "--threads", "1", "--threads", "2x1", "--quick"]
    assert run(["bench", "mlp", "cnn", "-q", *flags, "--max-seconds-per-path", "500ms"]) == 0
    request = asked[0]
    assert request.models == ("mlp", "cnn")
    assert request.paths == ("graph", "onnx")
    assert request.batch_sizes == (1, 32)
    assert request.threads == (Threads(1, 1), Threads(2, 1))
    assert request.effort == "quick"
    assert request.max_seconds_per_path == 0.5


@pytest.mark.parametrize(
    "arguments",
    [
        ["bench"],
        ["bench", "mlp", "--quick", "--full"],
        ["bench", "mlp", "--threads", "many"],
        ["bench", "mlp", "--threads", "0"],
        ["bench", "mlp", "--batch", "0"],
        ["bench", "no_such_model"],
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_measured(arguments: list[str]) -> None:
    assert run(arguments) == 2
