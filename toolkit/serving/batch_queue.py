"""Requests on their way into a batch and back: what waits, what is full, what may run, and what each one gets."""

import copy
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from toolkit.core.tensors import Feed, Outputs
from toolkit.errors import ToolkitError
from toolkit.serving.batches import divided, joined, split_sizes, together
from toolkit.serving.library import Lease
from toolkit.serving.scheme import Scheme
from toolkit.serving.servables import first_answer
from toolkit.serving.timing import Timing
from toolkit.wire import batching_wording as words
from toolkit.wire.messages import Target
from toolkit.wire.plans import Plan


@dataclass(frozen=True, slots=True)
class Gathered:
    """What one batch was made of, for metrics: rows of each part and how long it waited, rows filled in, and where."""

    target: Target
    rows: tuple[int, ...]
    padding: int
    queue_s: tuple[float, ...]


@dataclass(eq=False)
class Part:
    """Rows of one request in one batch: all of them, unless it was split."""

    request: "Request"
    start: int
    rows: int
    started: float = 0.0
    compute_ns: int = 0
    artifact: str = ""
    outputs: Outputs = field(default_factory=dict)

    @property
    def feed(self) -> Feed:
        """Its rows of every input."""
        whole = self.request.plan.feed
        if self.rows == self.request.rows:
            return whole
        return {name: array[self.start : self.start + self.rows] for name, array in whole.items()}


@dataclass(eq=False)
class Request:
    """One call that waits for its parts."""

    plan: Plan
    rows: int
    arrived: float
    parts: list[Part] = field(default_factory=list)
    pending: int = 0
    error: Exception | None = None
    done: threading.Event = field(default_factory=threading.Event)

    def answer(self, timing: Timing) -> Outputs:
        """The outputs that the plan fetches; raises what went wrong in a part."""
        timing.artifact = self.parts[0].artifact
        timing.add("queue", int((min(part.started for part in self.parts) - self.arrived) * 1e9))
        timing.add("compute", max(part.compute_ns for part in self.parts))
        if self.error is not None:
            raise self.error
        outputs = [{name: part.outputs[name] for name in self.plan.outputs} for part in self.parts]
        return outputs[0] if len(outputs) == 1 else together(outputs)


@dataclass(eq=False)
class Batch:
    """Parts that run together; the first one opened it."""

    opened: float
    parts: list[Part] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """Rows of all parts."""
        return sum(part.rows for part in self.parts)


@dataclass(eq=False)
class BatchQueue:
    """The open and waiting batches of one signature of one servable; the caller holds the lock."""

    lease: Lease
    signature: str
    scheme: Scheme
    batches: deque[Batch] = field(default_factory=deque)

    def add(self, request: Request) -> None:
        """Puts a request into the open batch and new ones behind it.

        Raises:
            ServingError: there is no room; nothing was added.
        """
        limit, scheme = self.scheme.max_batch_rows, self.scheme
        opened = self.batches[-1].rows if self.batches else 0
        room, waiting = limit - opened, max(1, len(self.batches))
        sizes = [request.rows]
        if scheme.splits:
            capacity = (scheme.max_enqueued - waiting) * limit + room
            if request.rows > capacity:
                raise words.no_capacity(request.rows, capacity)
            sizes = split_sizes(request.rows, room, limit)
        elif request.rows > room and waiting >= scheme.max_enqueued:
            raise words.queue_full(waiting, scheme.max_enqueued)
        start = 0
        for rows in sizes:
            if not self.batches or self.batches[-1].rows + rows > limit:
                self.batches.append(Batch(request.arrived))
            part = Part(request, start, rows)
            self.batches[-1].parts.append(part)
            request.parts.append(part)
            start += rows
        request.pending = len(sizes)

    def drop(self, request: Request) -> int:
        """Takes out what still waits of a request that nobody waits for; says how many parts that was."""
        waiting = sum(part.request is request for batch in self.batches for part in batch.parts)
        for batch in self.batches:
            batch.parts = [part for part in batch.parts if part.request is not request]
        self.batches = deque(batch for batch in self.batches if batch.parts)
        return waiting

    def ready_at(self) -> float:
        """When the first batch may run: at once if it is full or another waits behind it."""
        first = self.batches[0]
        if len(self.batches) > 1 or first.rows >= self.scheme.max_batch_rows:
            return -math.inf
        return first.opened + self.scheme.timeout_s

    def run(self, batch: Batch, clock: Callable[[], float]) -> None:
        """Runs a batch; an error in it is every part's error."""
        now = clock()
        for part in batch.parts:
            part.started = now
        try:
            self._run(batch)
        except ToolkitError as error:
            for part in batch.parts:
                part.request.error = copy.copy(error)  # each caller raises its own
        except Exception as error:  # noqa: BLE001  # the thread serves every model: one that breaks must not end it
            for part in batch.parts:
                part.request.error = error

    def seen(self, batch: Batch) -> Gathered:
        """What a batch that ran was made of."""
        rows = tuple(part.rows for part in batch.parts)
        waited = tuple(part.started - part.request.arrived for part in batch.parts)
        return Gathered(self.lease.target, rows, self.scheme.padded(sum(rows)) - sum(rows), waited)

    def _run(self, batch: Batch) -> None:
        servable, size = self.lease.servable, self.scheme.padded(batch.rows)
        feed = joined([part.feed for part in batch.parts], size, pad=self.scheme.pad_inputs)
        able = servable.able(self.signature, feed)
        artifact = able[0].artifact
        started = time.perf_counter_ns()
        try:
            artifact, found = first_answer(able, feed)
        finally:
            for part in batch.parts:
                part.artifact = artifact
        elapsed = time.perf_counter_ns() - started
        fetched = {name for part in batch.parts for name in part.request.plan.outputs}
        outputs = {name: array for name, array in found.items() if name in fetched}
        rows = divided(outputs, size, [part.rows for part in batch.parts])
        for part, own in zip(batch.parts, rows, strict=True):
            part.outputs, part.compute_ns = own, elapsed
