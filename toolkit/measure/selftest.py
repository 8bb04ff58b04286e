"""Measures what is known, to see whether this machine and this tool can measure: itself, a sleep, a stopped server."""

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from toolkit.building.isolate import Isolated
from toolkit.measure.awake import cores_awake
from toolkit.measure.sampling import SECOND_NS, Limits, collector_off, time_calls
from toolkit.measure.session import Progress
from toolkit.measure.statistics import outliers, percentile, ratio, verdict

TRIALS, ROUNDS, ROUND_S = 20, 5, 0.04
ALLOWED_MISSES = 1  # of 20 at 99 % confidence: more happens to an honest tool in 2 runs of 100
SLEEP_S, SLEEPS = 0.02, 50
STOP_S = 1.0
# How much later than asked a sleep may end on a machine that is not busy.
_LATE_S = 0.004
_TURN_LIMIT_S = 60.0


@dataclass(frozen=True)
class Finding:
    """One thing that was known, and what was found."""

    name: str
    said: str
    passed: bool


def run_selftest(progress: Progress = lambda what, done, of: None) -> list[Finding]:
    """All findings, in about 15 seconds."""
    checks: Mapping[str, Callable[[], Finding]] = {
        "the same path against itself": check_itself,
        "a known sleep": check_sleep,
        "a stopped server": check_stop,
    }
    findings = []
    with cores_awake():
        for name, check in checks.items():
            progress(f"selftest: {name}", 0, 0)
            findings.append(check())
    return findings


def check_itself() -> Finding:
    """Two workers that do the same must show no difference."""
    with Isolated() as one, Isolated() as other:
        workers = [one, other]
        for worker in workers:
            worker.run(known_turn, 0.3, timeout_s=_TURN_LIMIT_S)  # starts NumPy, warms up
        words = [_compare(workers) for _ in range(TRIALS)]
    same = words.count("no difference")
    said = f"no difference in {same} of {TRIALS}"
    return Finding("the same path against itself", said, same >= TRIALS - ALLOWED_MISSES)


def _compare(workers: list[Isolated]) -> str:
    found: list[list[array[int]]] = [[], []]
    for _ in range(ROUNDS):
        order = [0, 1]
        random.shuffle(order)
        for at in order:
            found[at].append(workers[at].run(known_turn, ROUND_S, timeout_s=_TURN_LIMIT_S))
    return verdict(ratio(found[0], found[1]))


def known_turn(seconds: float) -> "array[int]":
    """One turn of a worker: a product of two small matrices, always the same."""
    matrix = np.full((48, 48), 0.5)
    stretch = int(seconds * SECOND_NS)
    with collector_off():
        return time_calls(matrix.dot, matrix, Limits(1, stretch, stretch))


def check_sleep() -> Finding:
    """A sleep of 20 ms must be measured as one."""
    samples = time_calls(time.sleep, SLEEP_S, Limits(SLEEPS, 0, 60 * SECOND_NS))
    found = percentile(samples, 50)
    assert found is not None, "there are enough samples for a median"
    middle_s = found.value / SECOND_NS
    said = f"{SLEEP_S * 1e3:.0f} ms measured as {middle_s * 1e3:.2f} ms"
    return Finding("a known sleep", said, SLEEP_S <= middle_s <= SLEEP_S + _LATE_S)


def check_stop() -> Finding:
    """A server that stands still for a second must be seen, kept and counted."""
    command = [sys.executable, "-m", "toolkit.measure.echo"]
    python_path = os.pathsep.join(entry for entry in sys.path if entry)
    environment = os.environ | {"PYTHONPATH": python_path}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as server:
        try:
            assert server.stdout is not None, "a pipe was asked for"
            with socket.create_connection(("127.0.0.1", int(server.stdout.readline()))) as connection:
                samples = _calls_around_a_stop(server, connection)
        finally:
            server.kill()
    longest_s = max(samples) / SECOND_NS
    said = f"stopped for {STOP_S:g} s, the longest call took {longest_s:.2f} s, {outliers(samples)} outliers kept"
    return Finding("a stopped server", said, longest_s >= STOP_S * 0.95 and outliers(samples) >= 1)


def _calls_around_a_stop(server: "subprocess.Popen[bytes]", connection: socket.socket) -> "array[int]":
    def ask(payload: bytes) -> Any:
        connection.sendall(payload)
        return connection.recv(64)

    stops = [
        threading.Timer(0.3, server.send_signal, [signal.SIGSTOP]),
        threading.Timer(0.3 + STOP_S, server.send_signal, [signal.SIGCONT]),
    ]
    for stop in stops:
        stop.start()
    samples = time_calls(ask, b"x" * 32, Limits(1, int((0.6 + STOP_S) * SECOND_NS), 60 * SECOND_NS))
    for stop in stops:
        stop.join()
    return samples
