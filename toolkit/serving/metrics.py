"""Counts and times requests and batches: TensorFlow Serving's metrics under its names, and histograms of our own."""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import NamedTuple

import numpy as np
import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Info
from prometheus_client.core import Metric

from toolkit.serving.batch_queue import Gathered
from toolkit.serving.histograms import Cell, Histograms
from toolkit.serving.timing import PHASES, Timing
from toolkit.wire.codes import Code

CONTENT_TYPE = "text/plain"
_PREFIX = ":tensorflow:serving:"
# TensorFlow Serving's: ten microseconds times powers of 1.8, up to about twenty minutes.
_LATENCY_BUCKETS = tuple(10 * 1.8**power for power in range(33))
_ROW_BUCKETS = tuple(float(2**power) for power in range(14))
# A tenth of a millisecond to about a second.
_QUEUE_BUCKETS = tuple(100 * 1.2**power for power in range(52))
# Seconds, close together where models answer: a quantile read from them is off by a fifth at most.
_PHASE_BUCKETS = tuple(1e-5 * 1.45**power for power in range(38))
# Requests of a kind are counted together: a dozen at once costs as much as one.
_TOGETHER = 512
_COMPUTE = 1 + PHASES.index("compute")
# Every counter and histogram would get a twin with the time of its making.
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]


class Observation(NamedTuple):
    """One finished request.

    Args:
        model: its name; empty where none was asked for.
        api: the method, as in `Predict`; empty where none was.
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
        # By this `tfx-export doctor --server` sees a server that is older than what exported its models.
        Info("tfx_build", "What serves.", registry=self.registry).info({"tensorflow": version("tensorflow")})
        self._requests = self._counts("request_count", "The total number of requests.", ("model_name", "status"))
        latency, runtime = ("model_name", "API", "entrypoint"), ("model_name", "API", "runtime")
        name, text = f"{_PREFIX}request_latency", "Microseconds of a whole request that was answered."
        self._latency = self._histograms(name, text, latency, _LATENCY_BUCKETS)
        name, text = "tfx_request_seconds", "Seconds of a whole request, of whatever kind and however it ended."
        self._whole = self._histograms(name, text, ("model_name", "api", "entrypoint", "status"), _PHASE_BUCKETS)
        name, text = f"{_PREFIX}runtime_latency", "Microseconds inside the runtime."
        self._runtime = self._histograms(name, text, runtime, _LATENCY_BUCKETS)
        name, text = "tfx_phase_seconds", "Where the time of answered requests went."
        self._phases = self._histograms(name, text, ("model_name", "api", "phase"), _PHASE_BUCKETS)
        self._refused = Counter(
            "tfx_refused", "Requests refused before they cost work.", ("entrypoint", "reason"), registry=self.registry
        )
        self._cells: dict[tuple[str, str, str, str, Code], _Cells] = {}
        name, text = "batching_session:wrapped_run_count", "Batches that ran."
        self._batches = self._counts(name, text, ())
        prefix = f"{_PREFIX}batching_session:"
        name, text = f"{prefix}queuing_latency", "Microseconds of a request in the queue of its batch."
        self._queued = self._histograms(name, text, ("thread_pool_name",), _QUEUE_BUCKETS)
        name, text = f"{prefix}input_batch_size", "Rows of an input."
        self._arrived = self._histograms(name, text, (), _ROW_BUCKETS)
        name, text = f"{prefix}processed_batch_size", "Rows of a batch as it ran, those filled in included."
        self._processed = self._histograms(name, text, (), _ROW_BUCKETS)
        name, text = f"{prefix}padding_size", "Rows filled in, by the rows of the batch as it ran."
        self._padding = self._histograms(name, text, ("execution_batch_size",), _ROW_BUCKETS)

    def _counts(self, name: str, text: str, labels: tuple[str, ...]) -> "_Counts":
        made = _Counts(_PREFIX + name, text, labels)
        self.registry.register(made)
        return made

    def _histograms(self, name: str, text: str, labels: tuple[str, ...], bounds: tuple[float, ...]) -> Histograms:
        made = Histograms(name, text, labels, bounds)
        self.registry.register(made)
        return made

    def gauge(self, name: str, text: str, value: Callable[[], float]) -> None:
        """Shows a number that is read when the page is."""
        Gauge(name, text, registry=self.registry).set_function(value)

    def observe(self, seen: Observation, timing: Timing) -> None:
        """A request was answered."""
        self.observe_all(seen, (timing,))

    def observe_all(self, seen: Observation, timings: Sequence[Timing]) -> None:
        """Several requests were answered alike, by the same artifact and in the same time."""
        artifact, elapsed_ns = timings[0].artifact, seen.elapsed_ns
        key = (artifact, *seen[:4])
        cells = self._cells.get(key)
        if cells is None:
            if seen.model and not self._known(seen.model):
                return
            cells = self._cells.setdefault(key, self._cells_of(seen, artifact))
        waiting = cells.waiting
        for timing in timings:
            waiting.append((elapsed_ns, timing.queue_ns, timing.parse_ns, timing.compute_ns, timing.encode_ns))
        if len(waiting) >= _TOGETHER:
            self._count(seen.code, cells)

    def _cells_of(self, seen: Observation, artifact: str) -> "_Cells":
        model, api, runtime = seen.model, seen.api, _RUNTIMES.get(artifact, artifact)
        rest = seen.entrypoint == "REST"
        counted = rest or api in _COUNTED
        word = _REST_WORDS.get(api, "") if rest else api
        return _Cells(
            (model, seen.code.name) if counted else None,
            self._latency.labels(model, word, seen.entrypoint) if counted and seen.code is Code.OK else None,
            self._whole.labels(model, api, seen.entrypoint, seen.code.name),
            self._runtime.labels(model, api, runtime) if runtime else None,
            [self._phases.labels(model, api, phase) for phase in PHASES] if api else [],
        )

    def _count(self, code: Code, cells: "_Cells") -> None:
        """Counts what waits for it."""
        with cells.counting:
            count = len(cells.waiting)  # whoever observes meanwhile may still add to the list
            rows = np.array(cells.waiting[:count], np.float64).reshape(count, 1 + len(PHASES))
            del cells.waiting[:count]
        cells.whole.observe_all(rows[:, 0] / 1e9)
        if cells.latency is not None:
            cells.latency.observe_all(rows[:, 0] / 1e3)
        if cells.counted is not None and count:
            self._requests.add(*cells.counted, count=count)
        ran = rows[rows[:, _COMPUTE] > 0] if code is Code.OK else rows[:0]
        if cells.runtime is not None:
            cells.runtime.observe_all(ran[:, _COMPUTE] / 1e3)
        for at, cell in enumerate(cells.phases, 1):
            cell.observe_all(ran[:, at] / 1e9)

    def refuse(self, entrypoint: str, reason: str) -> None:
        """A request was refused before it cost work."""
        self._refused.labels(entrypoint, reason).inc()

    def arrived(self, rows: int, inputs: int) -> None:
        """A request is to be batched; the real server counts each of its inputs."""
        cell = self._arrived.labels()
        for _ in range(inputs):
            cell.observe(rows)

    def gathered(self, batch: Gathered) -> None:
        """A batch ran."""
        size = sum(batch.rows) + batch.padding
        self._batches.add()
        self._processed.labels().observe(size)
        self._padding.labels(str(size)).observe(batch.padding)
        queued = self._queued.labels("")  # the real server's sessions do not know the name of their threads
        for waited_s in batch.queue_s:
            queued.observe(waited_s * 1e6)

    def counted(self, names: Sequence[str]) -> dict[str, int]:
        """The first cell of each of these counters, by TensorFlow Serving's own names for them: slashes, no colons.

        A histogram counts as 0, and so does what is not known here, as in ModelServiceImpl::GetMetrics.
        """
        self._count_all()
        known = {counts.name.replace(":", "/"): counts for counts in (self._requests, self._batches)}
        return {name: known[name].first() if name in known else 0 for name in names}

    def _count_all(self) -> None:
        for (*_, code), cells in list(self._cells.items()):
            self._count(code, cells)

    def page(self) -> bytes:
        """The metrics as Prometheus reads them."""
        self._count_all()
        shown = prometheus_client.generate_latest(self.registry)
        # The library names the type of a counter with a suffix that TensorFlow Serving's counters do not have.
        for name in (self._requests.name.encode(), self._batches.name.encode()):
            shown = shown.replace(b" " + name + b"_total ", b" " + name + b" ")
        return shown


# TensorFlow Serving's word for its graph-mode Session; what it does not have goes by the artifact's own name.
_RUNTIMES = {"saved_model": "TF1"}
# Over gRPC it counts these alone; over REST whatever is asked, by the last word of a POST's path.
_COUNTED = frozenset({"Predict", "Classify", "Regress"})
_REST_WORDS = {api: api.lower() for api in _COUNTED}


@dataclass(frozen=True, slots=True)
class _Cells:
    """The cells that requests of one kind fall into, looked up once, and those that are still to be counted.

    Args:
        counted: the labels of their count, where they have one.
        latency: None where TensorFlow Serving has none, as for an error.
        runtime: None where nothing ran, as for a status.
        waiting: nanoseconds of each request in all and in each phase.
    """

    counted: tuple[str, str] | None
    latency: Cell | None
    whole: Cell
    runtime: Cell | None
    phases: Sequence[Cell]
    waiting: list[tuple[int, ...]] = field(default_factory=list)
    counting: threading.Lock = field(default_factory=threading.Lock)


class _Counts:
    """A counter by labels, whose name the library would not allow a counter of its own."""

    def __init__(self, name: str, text: str, labels: tuple[str, ...]) -> None:
        self.name, self._text, self._labels = name, text, labels
        self._found: dict[tuple[str, ...], int] = {} if labels else {(): 0}
        self._lock = threading.Lock()

    def add(self, *values: str, count: int = 1) -> None:
        """So many more."""
        with self._lock:
            self._found[values] = self._found.get(values, 0) + count

    def first(self) -> int:
        """The count of the labels that come first in their order."""
        found = self._found.copy()
        return found[min(found)] if found else 0

    def collect(self) -> Iterator[Metric]:
        """The counts, as the library asks for them."""
        metric = Metric(self.name, self._text, "counter")
        for values, count in list(self._found.items()):
            metric.add_sample(self.name, dict(zip(self._labels, values, strict=True)), count)
        yield metric
