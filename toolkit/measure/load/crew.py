"""Runs a load with several worker processes: cuts it up, aligns their clocks, watches, and joins what they wrote."""

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from toolkit.building.isolate import Isolated
from toolkit.measure.load import outcomes, worker
from toolkit.measure.load.arrivals import Moments
from toolkit.measure.load.jobs import Choices, Job, Route
from toolkit.measure.load.tape import Tape, merged
from toolkit.measure.sampling import SECOND_NS

_START_LIMIT_S = 60.0
# From the order to the first moment of a schedule: long enough for every worker to have read it. Callers have none.
_LEAD_S = 0.15
_LOOK_S = 0.25
_RECENT_S = 1.0
# What callers can ask at the very most; a file has room for so many, and takes none for those that never were.
_MOST_PER_S = 20_000


@dataclass(frozen=True, eq=False)
class Load:
    """What to send, and when.

    Args:
        seconds: of the whole schedule, or how long callers ask.
        due_ns: since the start; None for callers.
        requests: the most that callers ask in all.
    """

    routes: tuple[Route, ...]
    choices: Choices
    seconds: float
    due_ns: Moments | None = None
    callers: int = 0
    requests: int | None = None
    timeout_s: float = 10.0
    connections: int = 1
    most_in_flight: int = 4096


@dataclass(frozen=True)
class Glance:
    """What a load looks like at one moment.

    Args:
        elapsed_s: of the schedule.
        rate: answers a second of late.
        p50_s: of the answers of late, from when they were due; 0 where there were none.
    """

    elapsed_s: float
    seconds: float
    sent: int
    rate: float
    p50_s: float
    p99_s: float
    errors: int
    in_flight: int


@dataclass(frozen=True, eq=False)
class Played:
    """What became of a load.

    Args:
        columns: of all requests, as on a tape; times in ns since the start.
        cpu_shares: of one core, for each worker, while it worked.
        words: what was first said with each kind of error, by outcome.
        answers: the last answer to each payload, by stream and payload.
        lost: connections that were lost and made again.
        start_ns: the first moment, by this process's clock.
        clients: what the workers sent by, each once.
    """

    columns: Mapping[str, npt.NDArray[np.int64]]
    cpu_shares: tuple[float, ...]
    words: Mapping[int, str]
    answers: Mapping[tuple[int, int], bytes]
    lost: int
    start_ns: int
    interrupted: bool = False
    clients: tuple[str, ...] = ()


Watch = Callable[[Glance], object]


class Crew:
    """Worker processes, alive over many loads. A context manager."""

    def __init__(self, size: int, *, verbose: bool = False) -> None:
        self._size, self._verbose = size, verbose
        self._stack = ExitStack()
        self._processes: list[Isolated] = []
        self._files = 0

    def __enter__(self) -> Self:
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="tfx-export-load-")))
        # In this thread: a worker dies with the thread that started it.
        for _ in range(self._size):
            self._processes.append(self._stack.enter_context(Isolated(verbose=self._verbose)))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def play(self, load: Load, watch: Watch = lambda glance: None) -> Played:
        """Carry out a load; a person who interrupts gets what there is.

        Raises:
            ToolkitError: a worker died, or could not even begin.
        """
        jobs = [job for job in self._jobs(load) if job.callers or job.due_ns is not None]
        tapes = [Tape(job.tape, job.room) for job in jobs]
        offsets = [self._offset(process) for process in self._processes[: len(jobs)]]
        lead_s = 0.0 if load.due_ns is None else _LEAD_S
        start_ns = time.perf_counter_ns() + int(lead_s * SECOND_NS)
        limit_s = load.seconds + 2 * load.timeout_s + _START_LIMIT_S
        with ThreadPoolExecutor(len(jobs)) as pool:
            shifts = [
                pool.submit(process.run, worker.run, job, start_ns + offset, timeout_s=limit_s)
                for process, job, offset in zip(self._processes, jobs, offsets, strict=False)
            ]
            interrupted = _watched(shifts, tapes, load, start_ns, watch)
        found: list[worker.Shift] = [shift.result() for shift in shifts]
        return _joined(found, tapes, offsets, start_ns, interrupted)

    def pids(self) -> list[int]:
        """The workers' processes."""
        return [process.pid for process in self._processes]

    def _jobs(self, load: Load) -> list[Job]:
        size = self._size
        jobs = []
        for at in range(size):
            self._files += 1
            due = None if load.due_ns is None else load.due_ns[at::size]
            if due is not None and not len(due):
                continue
            callers = len(range(at, load.callers, size))
            room = len(due) if due is not None else self._room(load, callers)
            choices = Choices(load.choices.stream[at::size], load.choices.payload[at::size])
            jobs.append(
                Job(
                    load.routes, choices, self._folder / f"{self._files}.tape", room, load.seconds,
                    due, callers, load.timeout_s, load.connections, load.most_in_flight,
                )
            )  # fmt: skip
        return jobs

    @staticmethod
    def _room(load: Load, callers: int) -> int:
        if load.requests is not None:
            return max(1, round(load.requests * callers / max(1, load.callers)))
        return int(load.seconds * _MOST_PER_S) + callers

    @staticmethod
    def _offset(process: Isolated) -> int:
        """How much a worker's clock is ahead, in ns: 0 where both read one clock, as they do on Linux."""
        process.run(worker.clock_ns, timeout_s=_START_LIMIT_S)  # the first answer waits for the process to start
        before = time.perf_counter_ns()
        theirs: int = process.run(worker.clock_ns, timeout_s=_START_LIMIT_S)
        after = time.perf_counter_ns()
        return 0 if before <= theirs <= after else theirs - (before + after) // 2


def _watched(shifts: Sequence["Future[Any]"], tapes: Sequence[Tape], load: Load, start_ns: int, watch: Watch) -> bool:
    """Waits for the workers; True where a person interrupted them."""
    interrupted = False
    while True:
        try:
            left = wait(shifts, timeout=_LOOK_S).not_done
            watch(_glance(tapes, load.seconds, start_ns))
        except KeyboardInterrupt:
            if interrupted:
                raise
            interrupted = True
            for tape in tapes:
                tape.stop()
            continue
        if not left:
            return interrupted


def _glance(tapes: Sequence[Tape], seconds: float, start_ns: int) -> Glance:
    # Within one machine a worker's clock is this one's, or near enough to look at.
    now = time.perf_counter_ns()
    counts = [tape.scheduled for tape in tapes]  # once: they grow
    due, sent, done, outcome = (
        np.concatenate([tape.array(name)[:count] for tape, count in zip(tapes, counts, strict=True)])
        for name in ("due", "sent", "done", "outcome")
    )
    recent = done > now - _RECENT_S * SECOND_NS
    waited = (done - due)[recent & (outcome == outcomes.WELL)] / SECOND_NS
    p50, p99 = np.percentile(waited, [50, 99]) if len(waited) else (0.0, 0.0)
    elapsed_s = max(0.0, (now - start_ns) / SECOND_NS)
    count_sent, count_done = int((sent > 0).sum()), int((done > 0).sum())
    return Glance(
        min(elapsed_s, seconds),
        seconds,
        count_sent,
        int(recent.sum()) / max(1e-9, min(_RECENT_S, elapsed_s)),
        float(p50),
        float(p99),
        int((outcome > outcomes.WELL).sum()),
        count_sent - count_done,
    )


def _joined(
    found: Sequence[worker.Shift], tapes: Sequence[Tape], offsets: Sequence[int], start_ns: int, interrupted: bool
) -> Played:
    parts: list[dict[str, npt.NDArray[np.int64]]] = []
    words: dict[int, str] = {}
    answers: dict[tuple[int, int], bytes] = {}
    for shift, tape, offset in zip(found, tapes, offsets, strict=True):
        columns = tape.columns()
        for name in ("due", "sent", "done"):
            at = columns[name]
            columns[name] = np.where(at > 0, at - start_ns - offset, -1)
        parts.append(columns)
        words |= {outcome: text for outcome, text in shift.words.items() if outcome not in words}
        answers |= shift.answers
    shares = tuple(shift.cpu_s / max(shift.elapsed_s, 1e-9) for shift in found)
    lost, clients = sum(tape.lost for tape in tapes), dict.fromkeys(name for shift in found for name in shift.clients)
    return Played(merged(parts), shares, words, answers, lost, start_ns, interrupted, tuple(clients))
