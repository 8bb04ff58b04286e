"""Gathers requests of one signature into batches: TensorFlow Serving's scheme and parameters, for every runtime."""

import math
import os
import threading
import time
import weakref
from collections import deque
from dataclasses import dataclass, field

import numpy as np

from toolkit.core.tensors import Array, Feed, Outputs
from toolkit.errors import ToolkitError
from toolkit.serving.library import Lease
from toolkit.serving.servables import Servable
from toolkit.serving.timing import Timing
from toolkit.wire import batching_wording as words
from toolkit.wire.plans import Plan
from toolkit.wire.settings import BatchingParameters

# tensorflow_serving/batching/... and shared_batch_scheduler.h: what counts where the file says nothing.
DEFAULT_MAX_BATCH_SIZE = 1000
DEFAULT_MAX_ENQUEUED_BATCHES = 10


@dataclass(frozen=True)
class Scheme:
    """Batching parameters with every default filled in, found to make sense.

    Args:
        max_batch_size: rows of the largest batch.
        timeout_s: how long the first request of a batch waits for company.
    """

    max_batch_size: int
    timeout_s: float
    max_enqueued: int
    threads: int
    allowed_sizes: tuple[int, ...]
    pad_inputs: bool

    @classmethod
    def of(cls, given: BatchingParameters) -> "Scheme":
        """The scheme of a parameters file.

        Raises:
            ServingError: a value makes no sense; the real server crashes on some of these.
        """
        size = DEFAULT_MAX_BATCH_SIZE if given.max_batch_size is None else given.max_batch_size
        timeout = given.batch_timeout_micros or 0
        queued = DEFAULT_MAX_ENQUEUED_BATCHES if given.max_enqueued_batches is None else given.max_enqueued_batches
        threads = (os.cpu_count() or 1) if given.num_batch_threads is None else given.num_batch_threads
        words.check_parameters(size, timeout, queued, threads, given.allowed_batch_sizes)
        return cls(size, timeout / 1e6, queued, threads, given.allowed_batch_sizes, given.pad_variable_length_inputs)

    def padded(self, rows: int) -> int:
        """The size that a batch of so many rows is padded to."""
        return next((size for size in self.allowed_sizes if size >= rows), rows)


@dataclass(eq=False)
class _Task:
    """One request that waits for its part of a batch."""

    feed: Feed
    rows: int
    arrived: float
    outputs: Outputs | None = None
    error: Exception | None = None
    started: float = 0.0
    compute_ns: int = 0
    done: threading.Event = field(default_factory=threading.Event)


@dataclass(eq=False)
class _Queue:
    """The open and waiting batches of one signature of one servable."""

    servable: Servable
    signature: str
    scheme: Scheme
    batches: deque[list[_Task]] = field(default_factory=deque)

    def add(self, task: _Task) -> None:
        """Puts a task into the open batch, or opens one; the caller holds the lock."""
        if self.batches and _rows(self.batches[-1]) + task.rows <= self.scheme.max_batch_size:
            self.batches[-1].append(task)
            return
        if len(self.batches) >= self.scheme.max_enqueued:
            raise words.queue_full()
        self.batches.append([task])

    def ready_at(self) -> float:
        """When the first batch may run: at once if it is full or another waits behind it."""
        if not self.batches:
            return math.inf
        first = self.batches[0]
        if len(self.batches) > 1 or _rows(first) >= self.scheme.max_batch_size:
            return 0.0
        return first[0].arrived + self.scheme.timeout_s


class BatchedRuns:
    """Runs plans in batches; `Runs` of the engine.

    Args:
        scheme: the parameters of every model.
        per_model: asks a servable for parameters of its own.
    """

    def __init__(self, scheme: Scheme, *, per_model: bool = False) -> None:
        self._scheme, self._per_model = scheme, per_model
        self._queues: weakref.WeakKeyDictionary[Servable, dict[str, _Queue]] = weakref.WeakKeyDictionary()
        self._changed = threading.Condition()
        self._stopping = False
        for number in range(scheme.threads):
            threading.Thread(target=self._work, name=f"batch-{number}", daemon=True).start()

    def run(self, lease: Lease, plan: Plan, timing: Timing) -> Outputs:
        """The outputs that the plan fetches.

        Raises:
            ServingError: the feed cannot be batched, or the queue is full; in TensorFlow Serving's words.
        """
        timing.artifact = lease.servable.artifact
        scheme = self._scheme_of(lease.servable)
        rows = words.rows_of(plan.feed)
        if rows > scheme.max_batch_size:
            raise words.too_large(rows, scheme.max_batch_size)
        if rows == 0:
            # Nothing to gather; the real server never answers such a request.
            with timing.phase("compute"):
                found = lease.servable.run(plan.signature.name, plan.feed)
            return {name: found[name] for name in plan.outputs}
        task = _Task(plan.feed, rows, time.monotonic())
        with self._changed:
            self._queue(lease.servable, plan.signature.name, scheme).add(task)
            self._changed.notify()
        task.done.wait()
        timing.add("queue", int((task.started - task.arrived) * 1e9))
        timing.add("compute", task.compute_ns)
        if task.error is not None:
            raise task.error
        assert task.outputs is not None
        return {name: task.outputs[name] for name in plan.outputs}

    def stop(self) -> None:
        """Ends the threads once the queues are empty."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def _scheme_of(self, servable: Servable) -> Scheme:
        own = servable.batching if self._per_model else None
        return Scheme.of(own) if own is not None else self._scheme

    def _queue(self, servable: Servable, signature: str, scheme: Scheme) -> _Queue:
        of_servable = self._queues.setdefault(servable, {})
        if signature not in of_servable:
            of_servable[signature] = _Queue(servable, signature, scheme)
        return of_servable[signature]

    def _work(self) -> None:
        while True:
            taken = self._take()
            if taken is None:
                return
            _run_batch(*taken)

    def _take(self) -> tuple[_Queue, list[_Task]] | None:
        """The next batch that may run; None when the server stops."""
        with self._changed:
            while True:
                queues = [queue for queues in self._queues.values() for queue in queues.values() if queue.batches]
                first = min(queues, key=_Queue.ready_at, default=None)
                if first is None and self._stopping:
                    return None
                wait_s = None if first is None else first.ready_at() - time.monotonic()
                if first is not None and wait_s is not None and wait_s <= 0:
                    return first, first.batches.popleft()
                self._changed.wait(wait_s)


def _rows(batch: list[_Task]) -> int:
    return sum(task.rows for task in batch)


def _run_batch(queue: _Queue, batch: list[_Task]) -> None:
    started = time.monotonic()
    for task in batch:
        task.started = started
    try:
        outputs = _split(batch, queue)
        for task, own in zip(batch, outputs, strict=True):
            task.outputs = own
    except ToolkitError as error:
        for task in batch:
            task.error = error
    except Exception as error:  # noqa: BLE001  # the thread serves every model: one that breaks must not end it
        for task in batch:
            task.error = error
    finally:
        for task in batch:
            task.done.set()


def _split(batch: list[_Task], queue: _Queue) -> list[dict[str, Array]]:
    rows = _rows(batch)
    size = queue.scheme.padded(rows)
    feed = {name: _joined(name, batch, size - rows, pad=queue.scheme.pad_inputs) for name in batch[0].feed}
    started = time.perf_counter_ns()
    outputs = queue.servable.run(queue.signature, feed)
    elapsed = time.perf_counter_ns() - started
    words.check_outputs(outputs, size)
    parts: list[dict[str, Array]] = []
    at = 0
    for task in batch:
        task.compute_ns = elapsed
        parts.append({name: array[at : at + task.rows] for name, array in outputs.items()})
        at += task.rows
    return parts


def _joined(name: str, batch: list[_Task], missing: int, *, pad: bool) -> Array:
    """The rows of all tasks under one another, and the first row again for those that are missing."""
    arrays = [np.asarray(task.feed[name]) for task in batch]
    shapes = {array.shape[1:] for array in arrays}
    if len(shapes) > 1:
        if not pad or len({len(shape) for shape in shapes}) > 1:
            raise words.shapes_differ(name, arrays)
        arrays = _to_one_shape(arrays)
    if missing:
        arrays.append(np.repeat(arrays[0][:1], missing, axis=0))
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _to_one_shape(arrays: list[Array]) -> list[Array]:
    """pad_variable_length_inputs: shorter rows are filled with each array's first value, as the real server does."""
    largest = tuple(max(sizes) for sizes in zip(*(array.shape[1:] for array in arrays), strict=True))
    padded = []
    for array in arrays:
        wide = np.full((array.shape[0], *largest), array.flat[0] if array.size else 0, dtype=array.dtype)
        wide[tuple(slice(0, size) for size in array.shape)] = array
        padded.append(wide)
    return padded
