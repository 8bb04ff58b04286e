"""Measures paths side by side: a worker process each, alive over all rounds, in random order, one active at a time."""

import random
import time
from array import array
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field

from toolkit.building.isolate import Isolated
from toolkit.errors import ToolkitError
from toolkit.measure import worker
from toolkit.measure.measurement import WINDOW_TOLERANCE, WINDOWS, Key, Measurement
from toolkit.measure.plan import Effort, Task
from toolkit.measure.sampling import SECOND_NS, Limits, WarmUp
from toolkit.measure.statistics import rounds_flat, samples_needed

_START_LIMIT_S = 600.0  # XLA compiles a large model in minutes
_ANSWER_LIMIT_S = 600.0  # beyond the turn's own time: one call may be slow

Progress = Callable[[str, float, float], None]


@dataclass
class _Row:
    """One path at one batch size, while it is measured."""

    batch_size: int
    warm_up: WarmUp | None = None
    rounds: "list[array[int]]" = field(default_factory=list)
    phases: "dict[str, array[int]]" = field(default_factory=dict)
    spent_s: float = 0.0

    def add(self, turn: worker.Turn) -> None:
        self.rounds.append(turn.samples_ns)
        for name, values in turn.phases_ns.items():
            self.phases.setdefault(name, array("q")).extend(values)
        self.spent_s += sum(turn.samples_ns) / SECOND_NS

    def lacks(self, effort: Effort) -> bool:
        """Whether more rounds could still make it valid."""
        # A round much shorter than the others, to use up the last of the cap, would hold the few calls after a pause.
        if self.rounds and effort.most_s - self.spent_s < effort.least_s / effort.rounds / 2:
            return False
        count = sum(map(len, self.rounds))
        if len(self.rounds) < effort.rounds or count < samples_needed(max(effort.percentiles)):
            return True
        flat = rounds_flat(self.rounds, WINDOWS, WINDOW_TOLERANCE)
        return not flat and self.spent_s < effort.least_s * effort.patience


@dataclass
class _Lane:
    """One worker and its rows."""

    task: Task
    process: Isolated | None = None
    started: worker.Started | None = None
    begun_s: float = 0.0
    start_s: float = 0.0
    peak_bytes: int | None = None
    absent: str = ""
    rows: list[_Row] = field(default_factory=list)

    @property
    def running(self) -> bool:
        return self.started is not None and not self.started.problem and not self.absent

    def ask(self, function: Callable[..., object], *args: object, seconds: float = 0.0) -> object:
        """An answer of the worker; None when it failed, and the lane says why."""
        assert self.process is not None
        try:
            return self.process.run(function, *args, timeout_s=seconds + _ANSWER_LIMIT_S)
        except ToolkitError as error:
            self.absent = error.message
            return None

    def measurements(self) -> list[Measurement]:
        cold = {"process": self.start_s, **self.started.cold_s} if self.started else {}
        return [
            Measurement(
                key=Key(self.task.model, self.task.path, row.batch_size, self.task.threads),
                problem=self.started.problem if self.started else "",
                absent=self.absent,
                caveat=self.started.caveat if self.started else "",
                cold_s=cold,
                warm_up=row.warm_up,
                rounds=() if self.absent else tuple(row.rounds),
                phases_ns=row.phases,
                peak_bytes=self.peak_bytes,
            )
            for row in self.rows
        ]


class Session:
    """Measures a set of tasks; what was measured so far is there even when it is interrupted."""

    def __init__(
        self, tasks: Sequence[Task], effort: Effort, progress: Progress, seed: int, *, verbose: bool = False
    ) -> None:
        self._lanes = [_Lane(task, rows=[_Row(size) for size in task.batch_sizes]) for task in tasks]
        self._effort, self._progress, self._verbose = effort, progress, verbose
        self._random = random.Random(seed)  # noqa: S311  # the order of rounds is no secret
        self._begun = time.monotonic()

    def run(self) -> bool:
        """Measure; False when a person interrupted it."""
        with ExitStack() as stack:
            try:
                self._start(stack)
                self._warm_up()
                self._sample()
            except KeyboardInterrupt:
                return False
        return True

    @property
    def measurements(self) -> list[Measurement]:
        """What was found so far, in the order of the tasks."""
        return [found for lane in self._lanes for found in lane.measurements()]

    def _start(self, stack: ExitStack) -> None:
        together = 2 if self._effort.starts_together else 1
        with ThreadPoolExecutor(together) as pool:
            opening: set[Future[None]] = set()
            try:
                for lane in self._lanes:
                    if len(opening) == together:
                        opened, opening = wait(opening, return_when=FIRST_COMPLETED)
                        _results(opened)
                    # In this thread: a worker dies with the thread that started it.
                    self._tell(lane, "starting")
                    lane.begun_s = time.perf_counter()
                    lane.process = stack.enter_context(Isolated(verbose=self._verbose))
                    opening.add(pool.submit(self._open, lane))
                _results(opening)
            except KeyboardInterrupt:
                stack.close()  # or the pool would wait for whatever still opens
                raise

    @staticmethod
    def _open(lane: _Lane) -> None:
        lane.ask(worker.awake)
        lane.start_s = time.perf_counter() - lane.begun_s
        found = lane.ask(worker.start, lane.task, seconds=_START_LIMIT_S) if not lane.absent else None
        lane.started = found if isinstance(found, worker.Started) else None
        if not lane.running and lane.process is not None:
            lane.process.stop()

    def _warm_up(self) -> None:
        limits = self._effort.warm_up_limits
        for lane in self._running():
            for row in lane.rows:
                self._tell(lane, "warming up")
                found = lane.ask(worker.warm, row.batch_size, limits, seconds=limits.most_ns / SECOND_NS)
                row.warm_up = found if isinstance(found, WarmUp) else None

    def _sample(self) -> None:
        turns = 0
        while waiting := self._waiting():
            turns += 1
            self._random.shuffle(waiting)
            for lane, row in waiting:
                if lane.absent:
                    continue
                self._tell(lane, f"round {turns}")
                self._take_turn(lane, row)
        for lane in self._running():
            if lane.task.url and not lane.task.pid:
                continue  # a server that somebody else started: nobody here knows its memory
            found = lane.ask(worker.peak_bytes, lane.task.pid)
            lane.peak_bytes = found if isinstance(found, int) else None

    def _take_turn(self, lane: _Lane, row: _Row) -> None:
        limits = self._effort.round_limits
        if len(row.rounds) >= self._effort.rounds:
            # What still lacks samples goes on with longer rounds, so that its waiting costs the others nothing.
            stretch = int(
                min(self._effort.most_s - row.spent_s, 2 * self._effort.least_s / self._effort.rounds) * SECOND_NS
            )
            limits = Limits(1, max(stretch, 1), max(stretch, 1))
        found = lane.ask(worker.turn, row.batch_size, limits, seconds=limits.most_ns / SECOND_NS)
        if isinstance(found, worker.Turn):
            row.add(found)

    def _running(self) -> list[_Lane]:
        return [lane for lane in self._lanes if lane.running]

    def _waiting(self) -> list[tuple[_Lane, _Row]]:
        return [(lane, row) for lane in self._running() for row in lane.rows if row.lacks(self._effort)]

    def _tell(self, lane: _Lane, what: str) -> None:
        elapsed = time.monotonic() - self._begun
        rows = [row for one in self._lanes for row in one.rows if not one.absent]
        rounds = self._effort.rounds * max(1, len(rows))
        done = sum(min(len(row.rounds), self._effort.rounds) for row in rows)
        left = (rounds - done) * self._effort.least_s / self._effort.rounds
        left += sum(row.warm_up is None for row in rows) * self._effort.warm_up_s * 1.5
        left += sum(one.started is None and not one.absent for one in self._lanes) * 5.0
        self._progress(f"{lane.task.model}: {what} {lane.task.path}", elapsed, elapsed + left)


def _results(opened: Iterable["Future[None]"]) -> None:
    for found in opened:
        found.result()
