"""Counts and times requests: TensorFlow Serving's metrics under its names, and histograms of our own."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import Metric

from toolkit.serving.histograms import Cell, Histograms
from toolkit.serving.timing import PHASES, Timing
from toolkit.wire.codes import Code

CONTENT_TYPE = "text/plain"
_PREFIX = ":tensorflow:serving:"
# TensorFlow Serving's: ten microseconds times powers of 1.8, up to about twenty minutes.
_LATENCY_BUCKETS = tuple(10 * 1.8**power for power in range(33))
_ROW_BUCKETS = tuple(float(2**power) for power in range(15))
# Seconds, close together where models answer: a quantile read from them is off by a fifth at most.
_PHASE_BUCKETS = tuple(1e-5 * 1.45**power for power in range(38))
# Every counter and histogram would get a twin with the time of its making.
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class Observation:
    """One finished request.

    Args:
        api: the method, as in `Predict`.
        entrypoint: `GRPC` or `REST`.
        elapsed_ns: from its bytes to the answer's.
    """

    model: str
    api: str
    entrypoint: str
    code: Code
    elapsed_ns: int


class Metrics:
    """All metrics of one server.

    Args:
        known: whether there is such a model; names that clients make up must not fill the memory.
    """

    def __init__(self, known: Callable[[str], bool] = bool) -> None:
        self.registry = CollectorRegistry()
        self._known = known
        self._requests = _Requests()
        self.registry.register(self._requests)
        latency, runtime = ("model_name", "API", "entrypoint", "status"), ("model_name", "API", "runtime")
        name, text = f"{_PREFIX}request_latency", "Microseconds of a whole request."
        self._latency = self._histograms(name, text, latency, _LATENCY_BUCKETS)
        name, text = f"{_PREFIX}runtime_latency", "Microseconds inside the runtime."
        self._runtime = self._histograms(name, text, runtime, _LATENCY_BUCKETS)
        name, text = "tfx_phase_seconds", "Where the time of answered requests went."
        self._phases = self._histograms(name, text, ("model_name", "api", "phase"), _PHASE_BUCKETS)
        self._refused = Counter(
            "tfx_refused", "Requests refused before they cost work.", ("entrypoint", "reason"), registry=self.registry
        )
        self._cells: dict[tuple[str, str, str, Code], _Cells] = {}

    def _histograms(self, name: str, text: str, labels: tuple[str, ...], bounds: tuple[float, ...]) -> Histograms:
        made = Histograms(name, text, labels, bounds)
        self.registry.register(made)
        return made

    def gauge(self, name: str, text: str, value: Callable[[], float]) -> None:
        """Shows a number that is read when the page is."""
        Gauge(name, text, registry=self.registry).set_function(value)

    def observe(self, seen: Observation, timing: Timing) -> None:
        """A request was answered."""
        key = (seen.model, seen.api, seen.entrypoint, seen.code)
        cells = self._cells.get(key)
        if cells is None:
            if not self._known(seen.model):
                return
            cells = self._cells.setdefault(key, self._cells_of(seen))
        cells.latency.observe(seen.elapsed_ns / 1e3)
        if seen.api in _RUNS:
            self._requests.add(seen.model, seen.code)
        if seen.code is Code.OK and timing.compute_ns:
            cells.runtime.observe(timing.compute_ns / 1e3)
            for phase, cell in cells.phases:
                cell.observe(getattr(timing, phase) / 1e9)

    def _cells_of(self, seen: Observation) -> "_Cells":
        return _Cells(
            self._latency.labels(seen.model, seen.api, seen.entrypoint, seen.code.name),
            self._runtime.labels(seen.model, seen.api, "TF1"),
            [(f"{phase}_ns", self._phases.labels(seen.model, seen.api, phase)) for phase in PHASES],
        )

    def refuse(self, entrypoint: str, reason: str) -> None:
        """A request was refused before it cost work."""
        self._refused.labels(entrypoint, reason).inc()

    def page(self) -> bytes:
        """The metrics as Prometheus reads them."""
        shown = prometheus_client.generate_latest(self.registry)
        # The library names the type of a counter with a suffix that TensorFlow Serving's counter does not have.
        name = _PREFIX.encode() + b"request_count"
        return shown.replace(b" " + name + b"_total ", b" " + name + b" ")


_RUNS = frozenset({"Predict", "Classify", "Regress", "MultiInference"})


@dataclass(frozen=True, slots=True)
class _Cells:
    """The cells that requests of one kind fall into, looked up once."""

    latency: Cell
    runtime: Cell
    phases: list[tuple[str, Cell]]


class _Requests:
    """request_count, whose name the library would not allow a counter of its own."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], int] = {}
        self._lock = threading.Lock()

    def add(self, model: str, code: Code) -> None:
        """One more."""
        key = (model, code.name)
        with self._lock:
            self._counts[key] = self._counts.get(key, 0) + 1

    def collect(self) -> Iterator[Metric]:
        """The counts, as the library asks for them."""
        metric = Metric(_PREFIX + "request_count", "The total number of requests.", "counter")
        for (model, status), count in list(self._counts.items()):
            metric.add_sample(_PREFIX + "request_count", {"model_name": model, "status": status}, count)
        yield metric
