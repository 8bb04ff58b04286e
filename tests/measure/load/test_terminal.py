"""The real command: interrupted it ends with a report, and on a terminal it shows how the load goes."""

import json
import os
import pty
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.serving.running import running
from toolkit.cli.live import described
from toolkit.measure.load.crew import Glance


def start(root: Path, *words: str, stderr: int = subprocess.PIPE) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "toolkit.cli.main", "load", *words],
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        env=os.environ | {"PYTHONPATH": str(root)},
    )


@pytest.mark.parametrize("load", [["--rate", "50"], ["--concurrency", "2"]])
def test_who_interrupts_gets_what_there_is(root: Path, tmp_path: Path, load: list[str]) -> None:
    with running(tmp_path) as server:
        url = f"grpc://127.0.0.1:{server.grpc_port}/double"
        process = start(root, url, *load, "--duration", "10m", "--warm-up", "0", "--json")
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("double over grpc"):  # the load runs
                break
        runs = server.model.runs
        while server.model.runs < runs + 20:
            server.model.changed.acquire()
            server.model.changed.wait(30)
            server.model.changed.release()
        process.send_signal(signal.SIGINT)
        shown, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    document = json.loads(shown)
    assert document["error"]["message"] == "interrupted"
    summary = document["result"]["points"][0]["summary"]
    assert summary["corrected_ms"]["count"] == summary["requests"] >= 20
    assert summary["errors"] == {}


def test_a_terminal_shows_a_bar_and_then_the_table(root: Path, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    with running(tmp_path) as server:
        url = f"grpc://127.0.0.1:{server.grpc_port}/double"
        process = start(root, url, "--rate", "100", "--duration", "1s", "--warm-up", "0", stderr=theirs)
        os.close(theirs)
        shown = b""
        with suppress(OSError):  # which is how a terminal ends
            while part := os.read(ours, 4096):
                shown += part
        os.close(ours)
        table, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "in flight" in shown.decode()
    assert "100/s constant  corrected" in table


def test_the_live_line_says_rate_latency_errors_and_queue() -> None:
    glance = Glance(3.0, 10.0, 600, 199.6, 0.0012, 0.0041, 1, 7)
    assert described("mlp", glance) == "200/s, p50 1.2 ms, p99 4.1 ms, 1 error, 7 in flight: mlp"
