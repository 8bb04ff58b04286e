"""The command line of `load`: its exit codes, what it writes, what it takes for bad input, each said in one line."""

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.measure.load.reports import searched, two_loads
from tests.serving.authority import Authority, write_ssl_config
from tests.serving.running import Running, running
from toolkit.cli.main import run
from toolkit.measure.load import session
from toolkit.measure.load.report import LoadReport
from toolkit.measure.load.request import LoadRequest

Loaded = Callable[[LoadReport], list[LoadRequest]]
URL = "grpc://127.0.0.1:8500/double"


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> Loaded:
    """Lets `load` find a report without loading anything; gives what it was asked for."""

    def use(found: LoadReport) -> list[LoadRequest]:
        asked: list[LoadRequest] = []

        def measure(request: LoadRequest, say: object, watch: object) -> LoadReport:
            asked.append(request)
            return found

        monkeypatch.setattr(session, "measure_load", measure)
        return asked

    return use


def test_the_table_has_both_latencies_side_by_side(loaded: Loaded, capsys: pytest.CaptureFixture[str]) -> None:
    loaded(two_loads())
    assert run(["load", URL, "-q"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("1000/s constant  corrected ") for line in lines)
    assert any("uncorrected, of 3 who wait" in line for line in lines)
    assert "where a request's time goes" in lines


def test_files_are_written_beside_the_table(loaded: Loaded, tmp_path: Path) -> None:
    loaded(two_loads())
    files = {flag: tmp_path / flag for flag in ("markdown", "hdr-log", "report")}
    assert run(["load", URL, "-q", *(f"--{flag}={file}" for flag, file in files.items())]) == 0
    assert files["markdown"].read_text().startswith("### mlp over grpc, batch 1")
    assert files["hdr-log"].read_text().startswith("#[Histogram log format version 1.2]")
    assert files["report"].read_text().startswith("<!doctype html>")


def test_compare_reads_what_load_writes(loaded: Loaded, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {}
    for name, found in {"base": two_loads(), "slower": two_loads(slower=2)}.items():
        loaded(found)
        assert run(["load", URL, "--json"]) == 0
        files[name] = tmp_path / f"{name}.json"
        files[name].write_text(capsys.readouterr().out)
    assert run(["compare", str(files["base"]), str(files["base"]), "--json", "--fail-above", "5%"]) == 0
    changes = json.loads(capsys.readouterr().out)["result"]["changes"]
    assert {one["verdict"] for one in changes} == {"no difference"}
    assert {one["path"] for one in changes} >= {"grpc, 1000/s constant, p50", "grpc, 1000/s constant, p99"}
    assert run(["compare", str(files["base"]), str(files["slower"]), "--json", "--fail-above", "5%"]) == 6
    assert {one["verdict"] for one in json.loads(capsys.readouterr().out)["result"]["changes"]} == {"slower"}


@pytest.mark.parametrize(
    ("found", "flags", "code"),
    [
        (two_loads(), ["--strict"], 0),
        (two_loads(cpu=0.9), [], 0),
        (two_loads(cpu=0.9), ["--strict"], 7),
        (replace(two_loads(), interrupted=True), [], 130),
        (searched(None), [], 6),
        (searched(300.0), [], 0),
        (replace(two_loads(), found={"slo": {"limit": "p99", "said": "too slow", "broken": {"a": "b"}}}), [], 6),
    ],
)
def test_the_exit_code_says_what_came_of_it(
    found: LoadReport, flags: list[str], code: int, loaded: Loaded, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded(found)
    assert run(["load", URL, "-q", *flags]) == code
    assert "1000/s constant" in capsys.readouterr().out  # what there is, is shown


def test_options_become_the_request(loaded: Loaded, tmp_path: Path) -> None:
    asked = loaded(two_loads())
    np.savez(tmp_path / "rows.npz", x=np.ones((3, 2), np.float32))
    (tmp_path / "rows.jsonl").write_text('{"x": [[1, 2]]}\n\n{"inputs": {"x": [[3, 4]]}}\n')
    flags = ["--rate", "50,200", "--arrival", "poisson", "--batch", "1,8", "--weights", "3,1", "--duration", "500ms"]
    feeds = [f"--payload={tmp_path / 'rows.npz'}", f"--payload=mlp={tmp_path / 'rows.jsonl'}"]
    assert run(["load", URL, f"{URL}2", "-q", *flags, *feeds, "--slo", "p99.9=20ms", "--over", "rest"]) == 0
    request = asked[0]
    assert request.targets == (URL, f"{URL}2")
    assert request.rates == (50.0, 200.0)
    assert request.batch_sizes == (1, 8)
    assert request.weights == (3.0, 1.0)
    assert request.duration_s == 0.5
    assert request.slo == ("p99.9", 0.02)
    assert request.serving.over == "rest"
    assert request.feeds[""][0]["x"].shape == (3, 2)
    assert request.feeds["mlp"] == [{"x": [[1, 2]]}, {"x": [[3, 4]]}]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        [URL, "--rate", "0"],
        [URL, "--rate", "fast"],
        [URL, "--rate", "nan"],
        [URL, "--rate", "inf"],
        [URL, "--rate", "1e9"],
        [URL, "--rate", "10", "--requests", "0"],
        [URL, "--rate", "10", "--workers", "-1"],
        [URL, "--rate", "10", "--connections", "-1"],
        [URL, "--concurrency", "1000000"],
        [URL, "--rate", "10", "--arrival", "poisson", "--seed", "-1"],
        [URL, "--rate", "10", "--arrival", "sometimes"],
        [URL, "--arrival", "t.csv", "--rate", "10"],
        [URL, "--concurrency", "0"],
        [URL, "--concurrency", "4", "--rate", "10"],
        [URL, "--batch", "0"],
        [URL, "--weights", "1,2"],
        [URL, "--slo", "p99"],
        [URL, "--slo", "mean=20ms"],
        [URL, "--during", "lunch"],
        [URL, "--during", "swap"],
        [URL, "--during", "swap", "--rate", "10"],
        [URL, "--sweep", "batching"],
        [URL, "--sweep", "batching", "--rate", "10,20"],
        [URL, "--sweep", "batching", "--slo", "p99=20ms", "--batch", "1,8"],
        [URL, "--duration", "0"],
        [URL, "exported/mlp"],
        ["grpc://127.0.0.1:8500"],
        ["grpc://192.0.2.1:8500/double"],
        [URL, "--payload", "nowhere.jsonl"],
        [URL, "--report", "nowhere/page.html"],
        [URL, "--mlperf", "Offline"],
        [URL, "--mlperf", "Server"],
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_sent(
    arguments: list[str], server: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    there = [word.replace(":8500", f":{server.grpc_port}") for word in arguments]
    assert run(["load", "-q", *there]) == 2
    assert capsys.readouterr().err.count("error: ") == 1


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("served"), max_message_mb=0.01) as found:
        yield found


@contextmanager
def silent() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize("scheme", ["grpc", "http"])
@pytest.mark.parametrize(
    ("path", "code", "word"),
    [
        ("nothing", 2, "nothing"),
        ("double:nothing", 2, "no signature 'nothing'"),
        ("double --signature nothing", 2, "no signature 'nothing'"),
        ("double --batch 4000", 2, "larger than"),
    ],
)
def test_what_the_server_does_not_take_is_said_in_one_line(
    scheme: str, path: str, code: int, word: str, server: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    port = server.grpc_port if scheme == "grpc" else server.rest_port
    target, *flags = path.split()
    assert run(["load", f"{scheme}://127.0.0.1:{port}/{target}", "-q", *flags]) == code
    shown = capsys.readouterr().err
    assert shown.startswith("error: ")
    assert word in shown
    assert "Traceback" not in shown


@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_nobody_there_and_nobody_who_speaks_end_with_four(scheme: str, capsys: pytest.CaptureFixture[str]) -> None:
    with silent() as port:
        assert run(["load", f"{scheme}://127.0.0.1:{port}/double", "-q", "--timeout", "300ms"]) == 4
    assert run(["load", f"{scheme}://127.0.0.1:{port}/double", "-q"]) == 4
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["error", "hint"] * 2


@pytest.mark.parametrize("scheme", ["grpcs", "https"])
def test_a_certificate_of_a_stranger_ends_with_four(
    scheme: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trusted, stranger = Authority.make(tmp_path, "trusted"), Authority.make(tmp_path, "stranger")
    config = write_ssl_config(tmp_path / "ssl.config", trusted.sign("server"))
    with running(tmp_path, ssl_config_file=str(config)) as secured:
        port = secured.grpc_port if scheme == "grpcs" else secured.rest_port
        url = f"{scheme}://127.0.0.1:{port}/double"
        assert run(["load", url, "-q", "--tls-ca", str(stranger.own.cert)]) == 4
        assert run(["load", url, "-q", "--tls-ca", str(tmp_path / "nowhere.pem")]) in {2, 4}
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["error", "hint"] * 2
    assert "certificate" in lines[0].casefold()
