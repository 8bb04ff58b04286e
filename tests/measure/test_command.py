"""The command line of `bench`: its exit codes, what it writes, and what it does not take."""

import errno
import json
import os
import pty
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.end_to_end.test_terminal import read_all
from tests.measure.reports import MS, measurement, report, three_paths
from toolkit.cli.bench import _TimeLeft
from toolkit.cli.main import run
from toolkit.cli.output import Output
from toolkit.errors import BenchError, CatalogError
from toolkit.measure import bench
from toolkit.measure.awake import ASLEEP, AWAKE
from toolkit.measure.bench import BenchRequest
from toolkit.measure.measurement import Measurement
from toolkit.measure.plan import Threads
from toolkit.measure.report import Report, read_report
from toolkit.wire.endpoints import Reach

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
    assert "2.00 [1.86, 2.15]" in text
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
DEAD = replace(measurement("onnx", MS), rounds=(), absent="its process died")
GONE = replace(report([measurement("eager", 4 * MS), DEAD]), settings={"paths": ["onnx"]})


@pytest.mark.parametrize(
    ("found", "flags", "code"),
    [
        (SHORT, [], 0),
        (SHORT, ["--strict"], 7),
        (WRONG, ["--strict"], 7),
        (GONE, [], 0),
        (GONE, ["--strict"], 7),
        (replace(GONE, settings={"paths": []}), ["--strict"], 0),
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


@pytest.mark.parametrize(
    ("found", "hints"),
    [
        (SHORT, ["measure longer"]),
        (WRONG, ["tfx-export verify"]),
        (GONE, ["leave it out of --paths"]),
        (replace(GONE, measurements=(*SHORT.measurements, DEAD)), ["measure longer", "leave it out of --paths"]),
    ],
)
def test_the_hint_of_strict_fits_the_reason(
    found: Report, hints: list[str], measured: Measured, capsys: pytest.CaptureFixture[str]
) -> None:
    measured(found)
    assert run(["bench", "mlp", "-q", "--strict"]) == 7
    said = capsys.readouterr().err.partition("hint: ")[2]
    every = ["measure longer", "tfx-export verify", "leave it out of --paths"]
    assert [hint for hint in every if hint in said] == hints


def test_a_model_that_is_named_twice_is_measured_once(measured: Measured) -> None:
    asked = measured(three_paths())
    assert run(["bench", "mlp", "cnn", "mlp", "-q"]) == 0
    assert asked[0].models == ("mlp", "cnn")


def test_two_references_to_models_of_one_name_are_refused(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    monkeypatch.setattr(bench, "_measured", lambda *_: three_paths())
    twice = ("mlp", "models/mlp.py")
    with pytest.raises(BenchError, match=r"'mlp' and 'models/mlp\.py' are both called mlp"):
        bench.measure(BenchRequest(models=twice, root=root))
    assert bench.measure(BenchRequest(models=twice[:1], root=root)) == three_paths()


def test_how_to_reach_a_given_server_is_asked_for_with_it_alone(
    measured: Measured, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = measured(three_paths())
    reach = ["--tls-ca", "ca.pem", "--tls-cert", "own.pem", "--tls-key", "own.key", "--max-message-mb", "8"]
    assert run(["bench", "mlp", "-q", "--server", "grpcs://host:1", *reach]) == 0
    assert asked[0].reach == Reach(Path("ca.pem"), Path("own.pem"), Path("own.key"), 8.0)
    assert run(["bench", "mlp", "-q", *reach[:2]]) == 2
    assert "hint: --server grpcs://HOST:PORT" in capsys.readouterr().err


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
        ["bench", "mlp", "--threads", "2x"],
        ["bench", "mlp", "--threads", "2x0"],
        ["bench", "mlp", "--max-seconds-per-path", "0"],
        ["bench", "mlp", "--server", "nowhere"],
        ["bench", "mlp", "--server", "127.0.0.1:1/x"],
        ["bench", "mlp", "--signature", "no_such_signature"],
        ["bench", "mlp", "--paths", "no_such_path"],
        ["bench", "mlp", "--report", "no/such/folder/page.html"],
        ["bench", "mlp", "--batch", "0"],
        ["bench", "no_such_model"],
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_measured(arguments: list[str]) -> None:
    assert run(arguments) == 2


def test_a_device_that_is_not_there_is_said_before_anything_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", "mlp", "-q", "--device", "GPU:7"]) == 4
    assert "error: TensorFlow sees no device GPU:7 here\nhint: it sees CPU:0; " in capsys.readouterr().err


def test_figures_are_shown_though_a_file_cannot_be_written(
    measured: Measured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    measured(three_paths())
    monkeypatch.setattr(Path, "replace", full)
    assert run(["bench", "mlp", "-q", "--csv", str(tmp_path / "a.csv")]) == 4
    shown = capsys.readouterr()
    assert "graph *" in shown.out
    assert "no space left on device" in shown.err
    assert list(tmp_path.iterdir()) == []


(ROW,) = report([measurement("eager", 4 * MS)]).measurements


@dataclass(frozen=True)
class Target:
    """Stands for a model whose one row is there at once."""

    model: str

    @classmethod
    def find(cls, _: BenchRequest, reference: str, __: object) -> "Target":
        if reference == "nosuch":
            raise CatalogError("no model 'nosuch'", hint="")
        return cls(reference)

    def facts(self, _: BenchRequest) -> dict[str, object]:
        return {}

    def tasks(self, *_: object) -> tuple[list[object], list[Measurement]]:
        if self.model == "transformer":
            raise KeyboardInterrupt
        return [], [ROW]


def test_what_was_measured_of_one_model_is_kept_when_the_next_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "_Target", Target)
    found = bench.measure(BenchRequest(models=("mlp", "transformer"), effort="quick"))
    assert found.interrupted
    assert found.measurements == (ROW,)
    assert found.machine["idle cores"] in {AWAKE, ASLEEP}


def test_what_is_wrong_with_a_model_is_said_before_another_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("it costs minutes, and the error would take them away")

    monkeypatch.setattr(bench, "_Target", Target)
    monkeypatch.setattr(bench, "Session", never)
    with pytest.raises(CatalogError):
        bench.measure(BenchRequest(models=("mlp", "nosuch"), effort="quick"))


def test_a_terminal_sees_a_bar_with_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        with _TimeLeft(Output()) as bar:
            bar.tell("mlp: round 1 graph", 10, 52)
    shown = read_all(ours)
    os.close(ours)
    assert "mlp: round 1 graph, 42 s left" in shown


def test_a_pipe_sees_a_line_for_each_kind_of_work(capsys: pytest.CaptureFixture[str]) -> None:
    with _TimeLeft(Output()) as bar:
        bar.tell("mlp: round 1 graph", 10, 52)
        bar.tell("mlp: round 1 onnx", 11, 52)
        bar.tell("mlp: round 2 onnx", 12, 52)
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition("] ")[2] for line in lines] == [
        "mlp: round 1 graph, about 42 s left",
        "mlp: round 2 onnx, about 40 s left",
    ]
