"""Gathers requests of one signature into batches: TensorFlow Serving's scheme and parameters, for every runtime."""

import functools
import math
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from toolkit.core.tensors import Outputs
from toolkit.errors import ServingError
from toolkit.serving.batch_queue import Batch, BatchQueue, Gathered, Request
from toolkit.serving.engine import DirectRuns, Run
from toolkit.serving.library import Lease
from toolkit.serving.scheme import Scheme
from toolkit.serving.servables import Servable
from toolkit.serving.timing import Timing
from toolkit.wire import batching_wording as words
from toolkit.wire import wording
from toolkit.wire.plans import Check, Plan, no_check

_scheme_of = functools.cache(Scheme.of)


def _rows_of(scheme: Scheme, plan: Plan) -> int:
    """How many rows of a plan are to be gathered; 0 where it has to run by itself.

    Raises:
        ServingError: the feed cannot be batched.
    """
    try:
        rows = words.rows_of(plan.feed)
        if rows > scheme.max_request_rows:
            raise words.too_large(rows, scheme.max_request_rows)
    except ServingError:
        if plan.whole:
            raise
        return 0  # the real server batches none that asks for a part of the outputs, so this one may be answered
    return rows


class Watch(Protocol):
    """Who is told of requests and batches."""

    def arrived(self, rows: int, inputs: int) -> None:
        """A request is to be batched."""

    def gathered(self, batch: Gathered) -> None:
        """A batch ran."""


class BatchedRuns:
    """Runs plans in batches; `Runs` of the engine.

    Args:
        scheme: the parameters of every model.
        per_model: only versions that bring parameters along are batched, and by those.
        watch: is told of every request that waits for its batch, and of every batch that ran.
        clock: seconds; tests bring their own.
    """

    def __init__(
        self,
        scheme: Scheme,
        *,
        per_model: bool = False,
        watch: Watch | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._scheme, self._per_model, self._watch, self._clock = scheme, per_model, watch, clock
        self._alone = DirectRuns()
        # Only queues that hold something, so that a version which was unloaded is not kept; the next to serve first.
        self._queues: dict[tuple[int, str], BatchQueue] = {}
        self._changed = threading.Condition()
        self._stopping = False
        self._threads = [
            threading.Thread(target=self._work, name=f"batch-{number}", daemon=True) for number in range(scheme.threads)
        ]
        for thread in self._threads:
            thread.start()

    def check(self, servable: Servable) -> Check:
        """Refuses what cannot be batched: the real server does so before its session sees what is fed and fetched."""
        scheme = self._scheme_of(servable)
        return no_check if scheme is None else functools.partial(_rows_of, scheme)

    def run(self, lease: Lease, plan: Plan, timing: Timing) -> Outputs:
        """The outputs that the plan fetches.

        Raises:
            ServingError: the feed cannot be batched, the queue is full, or the deadline passed in it.
        """
        scheme = self._scheme_of(lease.servable)
        if scheme is None:
            return self._alone.run(lease, plan, timing)
        rows = _rows_of(scheme, plan)
        if rows == 0:
            return self._alone.run(lease, plan, timing)  # nothing to gather; the real server never answers it
        if self._watch is not None:
            self._watch.arrived(rows, len(plan.feed))
        request = Request(plan, rows, self._clock())
        key = (id(lease.servable), plan.signature.name)
        with self._changed:
            if self._stopping:
                raise words.stopped()
            queue = self._queues.get(key) or BatchQueue(lease, plan.signature.name, scheme)
            queue.add(request)
            self._queues.setdefault(key, queue)
            self._changed.notify()
        self._wait(key, request, timing.deadline_ns)
        return request.answer(timing)

    def bind(self, lease: Lease, plan: Plan) -> Run:
        """Runs plans that differ from this one in their values alone; keeps none of these values."""
        shape = replace(plan, feed={})
        return lambda feed, timing: self.run(lease, replace(shape, feed=feed), timing)

    def stop(self, timeout_s: float = 5.0) -> None:
        """Runs what waits, at once, and ends the threads."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(timeout_s)

    def _scheme_of(self, servable: Servable) -> Scheme | None:
        if not self._per_model:
            return self._scheme
        return None if servable.batching is None else _scheme_of(servable.batching)

    def _wait(self, key: tuple[int, str], request: Request, deadline_ns: int | None) -> None:
        left_s = None if deadline_ns is None else max(0.0, (deadline_ns - time.perf_counter_ns()) / 1e9)
        finished, unbegun = False, 0
        try:
            finished = request.done.wait(left_s)
        finally:
            if not finished:
                with self._changed:
                    unbegun = self._drop(key, request)
        if not finished:
            whole = unbegun == len(request.parts)
            raise wording.deadline_cannot_be_met(0, 0) if whole else wording.run_timed_out()

    def _drop(self, key: tuple[int, str], request: Request) -> int:
        queue = self._queues.get(key)
        if queue is None:
            return 0
        unbegun = queue.drop(request)
        if not queue.batches:
            del self._queues[key]
        return unbegun

    def _work(self) -> None:
        while self._run_next():
            pass  # and nothing kept of the last batch: its version may be unloaded while this thread waits

    def _run_next(self) -> bool:
        taken = self._take()
        if taken is None:
            return False
        queue, batch = taken
        queue.run(batch, self._clock)
        if self._watch is not None:
            self._watch.gathered(queue.seen(batch))
        with self._changed:
            for part in batch.parts:
                part.request.pending -= 1
                if not part.request.pending:
                    part.request.done.set()
        return True

    def _take(self) -> tuple[BatchQueue, Batch] | None:
        """The next batch that may run, each queue in its turn; None when the server stops and none is left."""
        with self._changed:
            while True:
                now = math.inf if self._stopping else self._clock()
                waiting = {key: queue.ready_at() for key, queue in self._queues.items()}
                ready = next((key for key, when in waiting.items() if when <= now), None)
                if ready is not None:
                    return self._taken(ready)
                if self._stopping:
                    return None
                self._changed.wait(min(waiting.values()) - now if waiting else None)

    def _taken(self, key: tuple[int, str]) -> tuple[BatchQueue, Batch]:
        queue = self._queues.pop(key)
        batch = queue.batches.popleft()
        if queue.batches:
            self._queues[key] = queue  # behind the others
            self._changed.notify()
        return queue, batch
