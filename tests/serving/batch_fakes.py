"""A servable that records its batches, callers on threads of their own, and a clock that stands still."""

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tests.serving.fakes import PATIENCE_S, FakeServable
from toolkit.core.tensors import Array, Feed, Outputs, Signature, TensorSpec
from toolkit.errors import ServingError
from toolkit.serving.batching import BatchedRuns, Watch
from toolkit.serving.library import Lease
from toolkit.serving.scheme import Scheme
from toolkit.serving.timing import Timing
from toolkit.wire.messages import Target
from toolkit.wire.plans import Plan
from toolkit.wire.settings import BatchingParameters
from toolkit.wire.signatures import write_signature

HOUR = 3_600_000_000  # microseconds that no test waits
_ROWS = TensorSpec("float32", None)
SIGNATURE = write_signature("serving_default", Signature({"x": _ROWS}, {"y": _ROWS, "total": _ROWS}))


@dataclass(eq=False)
class Recorder(FakeServable):
    """Doubles x, and keeps each batch; a test may hold it back, or let it fail."""

    path: Path = Path()
    batches: list[dict[str, Array]] = field(default_factory=list)
    order: list[str] = field(default_factory=list)  # shared by several, it says who ran when
    held: threading.Event | None = None
    entered: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    error: Exception | None = None
    extra: Outputs = field(default_factory=dict)

    def run(self, signature: str, feed: Feed) -> Outputs:
        self.batches.append(dict(feed))
        self.order.append(self.artifact)
        self.entered.release()
        if self.held is not None:
            assert self.held.wait(PATIENCE_S)
        if self.error is not None:
            raise self.error
        x = np.asarray(feed["x"])
        doubled = x + x if x.dtype == object else x * 2
        return {"y": doubled, "total": np.ones((len(x), 1), np.float32), **self.extra}

    @property
    def sizes(self) -> list[int]:
        return [len(batch["x"]) for batch in self.batches]


@dataclass
class Clock:
    """Seconds that pass when a test says so."""

    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Callers:
    """Requests to one batcher, each on a thread of its own."""

    runs: BatchedRuns
    pool: ThreadPoolExecutor

    def ask(
        self, servable: FakeServable, x: Any, *, outputs: Sequence[str] = ("y", "total"), timing: Timing | None = None
    ) -> "Future[Outputs]":
        """A request whose answer is awaited elsewhere."""
        feed = x if isinstance(x, dict) else {"x": np.asarray(x)}
        plan = Plan(SIGNATURE, feed, tuple(outputs))
        lease = Lease(Target("m", 1), 1, servable)
        return self.pool.submit(self.runs.run, lease, plan, timing or Timing())

    def enqueue(self, servable: FakeServable, x: Any, **options: Any) -> "Future[Outputs]":
        """The same, and it waits in its queue when this returns."""
        before = self.waiting_rows(servable)
        answer = self.ask(servable, x, **options)
        deadline = time.monotonic() + PATIENCE_S
        while self.waiting_rows(servable) == before and not answer.done():
            assert time.monotonic() < deadline
            time.sleep(0)
        return answer

    def waiting_rows(self, servable: FakeServable) -> int:
        with self.runs._changed:
            queues = [queue for (key, _), queue in self.runs._queues.items() if key == id(servable)]
            return sum(batch.rows for queue in queues for batch in queue.batches)

    def look(self) -> None:
        """Threads look at the clock again."""
        with self.runs._changed:
            self.runs._changed.notify_all()


@contextmanager
def batching(
    clock: Clock | None = None, *, per_model: bool = False, watch: Watch | None = None, **parameters: Any
) -> Iterator[Callers]:
    """A batcher of these parameters."""
    scheme = Scheme.of(BatchingParameters(**{"num_batch_threads": 1, "max_batch_size": 4} | parameters))
    runs = BatchedRuns(scheme, per_model=per_model, watch=watch, clock=clock or time.monotonic)
    pool = ThreadPoolExecutor(64)
    try:
        yield Callers(runs, pool)
    finally:
        runs.stop(PATIENCE_S)
        pool.shutdown()
        assert not any(thread.is_alive() for thread in runs._threads)


def rows_of(answer: "Future[Outputs]") -> Any:
    return answer.result(PATIENCE_S)["y"].tolist()


def error_of(answer: "Future[Outputs]") -> ServingError:
    error = answer.exception(PATIENCE_S)
    assert isinstance(error, ServingError), error
    return error
