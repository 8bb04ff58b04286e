"""Is `tfx-export load` right? python -m benchmarks.load_truth [CHECK...]: real workers against servers of known times.

Checks: percentiles, stop, queues, slow-client, search, repeat, repeat-served, sender. Each prints what was known and
what was found; 1 where a limit is missed. For an idle machine of two cores. The same is tested with made-up clocks in
tests/measure/load.
"""

import argparse
import os
import signal
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.loads import Load, Side, measure, over_grpc, started
from benchmarks.rounds import machine, verdict
from benchmarks.stub import CYCLE
from toolkit.measure.load.crew import Crew
from toolkit.measure.load.point import Point
from toolkit.measure.load.request import LoadRequest
from toolkit.measure.load.session import measure_load
from toolkit.measure.server import serve_bundle
from toolkit.measure.statistics import ratio_of_runs
from toolkit.wire import rpc
from toolkit.wire.messages import PredictRequest, Target

_PARTS, _PART_S, _REPEATED = 7, 3.0, 200.0
Latencies = npt.NDArray[np.int64]
_FEED = {"x": np.ones((1, 2), np.float32)}


@contextmanager
def stub(*words: object) -> Iterator[Side]:
    """A stub, from the line with its port on."""
    with started("stub", ("-m", "benchmarks.stub", *map(str, words))) as side:
        yield side


def load(side: Side, crew: Crew | None = None, **options: Any) -> tuple[Point, ...]:
    """The points of a load on a stub."""
    url = f"grpc://127.0.0.1:{side.port}/stub"
    return measure_load(LoadRequest((url,), feeds={"": [_FEED]}, **options), crew=crew).points


def p(point: Point, wanted: float, *, corrected: bool = True) -> float:
    """A percentile in ms."""
    found = point.corrected_ns if corrected else point.records.uncorrected_ns
    return float(np.percentile(found, wanted)) / 1e6


def percentiles() -> bool:
    """Five known service times in turn: each percentile between their borders is one of them."""
    cost = _cost(40.0, 64)
    with stub("cycle", 100, 64) as side:
        (point,) = load(side, rates=(40.0,), duration_s=12.0)
    worst = 0.0
    for share, factor in zip((10, 30, 50, 70, 90), CYCLE, strict=True):
        known, found = factor * 100 + cost, p(point, share)
        worst = max(worst, abs(found / known - 1))
        print(f"p{share}: known {factor * 100:.0f} ms and {cost:.2f} ms of the stub's own, found {found:.2f} ms")
    return verdict("worst percentile off by", worst * 100, 2, " %")


def _cost(rate: float, servers: int = 1) -> float:
    """What a stub takes without a service time at a rate, in ms."""
    with stub("constant", 0, servers) as side:
        (point,) = load(side, rates=(rate,), duration_s=4.0)
    return float(np.median(point.corrected_ns)) / 1e6


def stop() -> bool:
    """A server that stands still for a second, at 200 a second."""
    with stub("constant", 1) as side:
        timers = [
            threading.Timer(seconds, os.kill, (side.pid, number))
            for seconds, number in ((7.0, signal.SIGSTOP), (8.0, signal.SIGCONT))
        ]
        for timer in timers:
            timer.start()
        (point,) = load(side, rates=(200.0,), duration_s=10.0)
    done = point.records.counted["done"] / 1e9
    gap = int(np.argmax(np.diff(np.sort(done))))
    begun, ended = np.sort(done)[gap : gap + 2]
    sent = point.records.counted["sent"] / 1e9
    count = int(((sent > begun) & (sent < ended)).sum())
    corrected, uncorrected = p(point, 99), p(point, 99, corrected=False)
    print(f"stopped {ended - begun:.2f} s, {count} sends meanwhile, {point.records.late_share:.2%} of all sends late")
    print(f"p99 corrected {corrected:.0f} ms, uncorrected {uncorrected:.2f} ms")
    return (
        verdict("sends while stopped differ from 200 by", abs(count - 200), 15)
        & verdict("corrected p99 is off a second by", abs(corrected - 950), 120, " ms")
        & verdict("uncorrected p99", uncorrected, 50, " ms")
    )


def queues() -> bool:
    """M/M/1 and M/D/1: the time in the system by theory, and by the very arrivals and services of the run."""
    held = True
    for kind, rate, mean_ms in (("exponential", 100.0, 5.0), ("constant", 100.0, 7.0)):
        cost = _cost(rate)
        with stub(kind, mean_ms) as side:
            (point,) = load(side, rates=(rate,), arrival="poisson", duration_s=50.0)
        service = point.records.columns["compute"] / 1e6
        counted = point.records.columns["due"] >= point.records.from_ns
        path = _lindley(point.records.columns["due"] / 1e6, service)[counted]
        found = float(point.corrected_ns.mean()) / 1e6 - cost
        busy = rate * float(service.mean()) / 1e3
        wait = busy / (1 - busy) * (1.0 if kind == "exponential" else 0.5)
        theory = float(service.mean()) * (1 + wait)
        name = {"exponential": "M/M/1", "constant": "M/D/1"}[kind]
        print(f"{name}: theory {theory:.2f} ms, of this run's own times {path.mean():.2f} ms, found {found:.2f} ms")
        print(f"  (less {cost:.2f} ms, what the stub takes without a service time; {len(path)} requests)")
        held &= verdict(f"{name} against its own times off by", abs(found / path.mean() - 1) * 100, 5, " %")
        held &= verdict(f"{name} against theory off by", abs(found / theory - 1) * 100, 5, " %")
    return held


def _lindley(due: "np.ndarray[Any, Any]", service: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    free, found = -1.0, []
    for at, takes in zip(due.tolist(), service.tolist(), strict=True):
        free = max(free, at) + takes
        found.append(free - at)
    return np.array(found)


def slow_client() -> bool:
    """A worker that runs only half of the time must be called invalid; one that runs all of it must not."""
    with stub("constant", 0, 8) as side, Crew(1) as crew:
        (whole,) = load(side, crew, rates=(500.0,), duration_s=4.0)
        ended = threading.Event()
        thread = threading.Thread(target=_halve, args=(crew.pids()[0], ended))
        thread.start()
        (half,) = load(side, crew, rates=(500.0,), duration_s=4.0)
        ended.set()
        thread.join()
    for name, point in (("whole", whole), ("half", half)):
        print(f"{name} core: {point.status[0].value} {point.status[1]}")
    return verdict("verdicts that are wrong", (half.status[0].value == "valid") + (whole.status[0].value != "valid"), 0)


def _halve(pid: int, ended: threading.Event) -> None:
    while not ended.is_set():
        os.kill(pid, signal.SIGSTOP)
        time.sleep(0.02)
        os.kill(pid, signal.SIGCONT)
        time.sleep(0.02)


def search() -> bool:
    """Stubs of three capacities: what callers without a pause get is what a search must find."""
    held = True
    for mean_ms in (10.0, 4.0, 1.5):
        with stub("constant", mean_ms) as side, Crew(1) as crew:
            capacity = load(side, crew, callers=(4,), duration_s=3.0)[0].records.rate_achieved
            url, limit_s = f"grpc://127.0.0.1:{side.port}/stub", (mean_ms + 15) / 1e3
            asked = LoadRequest((url,), feeds={"": [_FEED]}, slo=("p90", limit_s), duration_s=3.0, warm_up_s=0.5)
            report = measure_load(asked, crew=crew)
        rate = report.found["slo"]["rate"] or 0.0
        print(f"{mean_ms:g} ms: capacity {capacity:.1f}/s, found {rate:.1f}/s in {len(report.points)} points")
        held &= verdict("off by", abs(rate / capacity - 1) * 100, 5, " %")
    return held


def repeat() -> bool:
    """Two runs of one load on a stub with a queue."""
    with stub("constant", 5) as side, Crew(1) as crew:
        points = [load(side, crew, rates=(120.0,), arrival="poisson", duration_s=15.0)[0] for _ in range(2)]
    return _agree("stub", [[part.corrected_ns for part in point.records.windows(_PARTS)] for point in points])


def repeat_served() -> bool:
    """Three pairs of runs of one load on the shipped MLP, each with workers and a server of its own."""
    held = [_agree(f"mlp, pair {pair}", _side_by_side()) for pair in (1, 2, 3)]
    return all(held)


def _side_by_side() -> list[list[Latencies]]:
    """Two runs, each in parts that take turns with the other's: a machine that slows down slows both."""
    with ExitStack() as stack:
        runs = [_Run(stack) for _ in range(2)]
        for part in range(_PARTS):
            for run in runs[:: 1 if part % 2 == 0 else -1]:
                run.go_on()
    return [run.found for run in runs]


class _Run:
    """One run: a server and a worker of its own, and what they took so far."""

    def __init__(self, stack: ExitStack) -> None:
        served = stack.enter_context(serve_bundle(Path("exported/mlp"), "mlp", 0, ("--runtime=saved_model",)))
        self._crew = stack.enter_context(Crew(1))
        self._url = served.url("grpc", "serving_default")
        self.found: list[Latencies] = []

    def go_on(self) -> None:
        """A part more."""
        asked = LoadRequest((self._url,), rates=(_REPEATED,), duration_s=_PART_S, batch_sizes=(1,))
        point = measure_load(asked, crew=self._crew).points[0]
        if point.status[1]:
            print(point.status[1])
        self.found.append(point.corrected_ns)


def _agree(name: str, runs: Sequence[Sequence[Latencies]]) -> bool:
    """As `compare` does it: of the percentiles of a run's parts the trimmed mean, so that a moment moves it little."""
    held = True
    for wanted, limit in ((50, 5), (99, 10)):
        whole = [float(np.percentile(np.concatenate(parts), wanted)) / 1e6 for parts in runs]
        found = ratio_of_runs(runs[0], runs[1], of=partial(np.percentile, q=wanted))
        assert found is not None, "there are several parts"
        print(f"{name}, p{wanted} of all: {whole[0]:.3f} and {whole[1]:.3f} ms")
        held &= verdict(f"{name}: p{wanted} by parts differs by", abs(found.value - 1) * 100, limit, " %")
    return held


def sender() -> bool:
    """One worker: how late it sends at 1000 a second, what a request costs it, and how many it sends at most."""
    with stub("constant", 0, 8) as side, Crew(1) as crew, tempfile.TemporaryDirectory() as own:
        (point,) = load(side, crew, rates=(1000.0,), duration_s=8.0)
        most = [load(side, crew, callers=(16,), duration_s=4.0)[0] for _ in range(2)]
        message = rpc.encode_predict_request(PredictRequest(Target("stub"), _FEED))
        body = Path(own) / "body"
        body.write_bytes(b"\0" + len(message).to_bytes(4, "big") + message)
        yardstick = [measure(side, over_grpc(rpc.PREDICT, body), Load(1, 16), 8000).per_s for _ in range(2)]
    late = point.records.send_error_ns / 1e6
    rates = [one.records.rate_achieved for one in most]
    p50, p99 = np.percentile(late, [50, 99])
    print(f"at 1000/s late by p50 {p50:.3f}, p99 {p99:.3f} ms; {point.cpu_us:.0f} us a request")
    shown = f"{max(rates):.0f}/s at {most[0].cpu_us:.0f} us a request"
    print(f"16 callers: {shown}; h2load {statistics.mean(yardstick):.0f}/s")
    return verdict("p99 of the scheduling error", float(p99), 1, " ms") & verdict(
        "requests a second short of 2500 by", max(0.0, 2500 - max(rates)), 0
    )


CHECKS: Mapping[str, Callable[[], bool]] = {
    "percentiles": percentiles,
    "stop": stop,
    "queues": queues,
    "slow-client": slow_client,
    "search": search,
    "repeat": repeat,
    "repeat-served": repeat_served,
    "sender": sender,
}


def main() -> int:
    """Run the checks; 1 where a limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checks", nargs="*", choices=[*CHECKS, []], help="all of them without a name")
    print(*machine(), sep="\n")
    held = True
    for name in parser.parse_args().checks or CHECKS:
        print(f"{name}: {(CHECKS[name].__doc__ or '').splitlines()[0]}")
        held &= CHECKS[name]()
    return 0 if held else 1


if __name__ == "__main__":
    raise SystemExit(main())
