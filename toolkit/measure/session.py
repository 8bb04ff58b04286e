"""Measures paths side by side: their worker processes live over their rounds, in random order, one active at a time."""

import math
import random
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack

from toolkit.building.isolate import Isolated
from toolkit.measure import worker
from toolkit.measure.lanes import Lane, Row
from toolkit.measure.measurement import Measurement
from toolkit.measure.plan import BASELINE, Effort, Task
from toolkit.measure.sampling import SECOND_NS, Limits, WarmUp
from toolkit.measure.statistics import ratio_within

_START_LIMIT_S = 600.0  # XLA compiles a large model in minutes

Progress = Callable[[str, float, float], None]


class Session:
    """Measures a set of tasks; what was measured so far is there even when it is interrupted."""

    def __init__(
        self, tasks: Sequence[Task], effort: Effort, progress: Progress, seed: int, *, verbose: bool = False
    ) -> None:
        self._lanes = [Lane(task, rows=[Row(size) for size in task.batch_sizes]) for task in tasks]
        self._effort, self._progress, self._verbose = effort, progress, verbose
        self._random = random.Random(seed)  # noqa: S311  # the order of rounds is no secret
        self._begun = time.monotonic()
        self._relay = 0

    def run(self) -> bool:
        """Measure; False when a person interrupted it."""
        try:
            for relay in range(self._effort.relays):
                self._relay = relay
                with ExitStack() as stack:
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
        for lane in self._lanes:
            lane.workers.clear()
        if not self._relay:
            self._add_workers(stack, self._lanes, 2 if self._effort.starts_together else 1)
        else:
            self._add_workers(stack, self._unfinished(), 2)
        for _ in range(1, self._effort.workers):  # their cold starts are not shown, so they may overlap
            self._add_workers(stack, (lane for lane in self._unfinished() if lane.has_room()), 2)

    def _add_workers(self, stack: ExitStack, lanes: Iterable[Lane], together: int) -> None:
        with ThreadPoolExecutor(together) as pool:
            opening: set[Future[None]] = set()
            try:
                for lane in lanes:
                    if len(opening) == together:
                        opened, opening = wait(opening, return_when=FIRST_COMPLETED)
                        _results(opened)
                    # In this thread: a worker dies with the thread that started it.
                    self._tell(lane, "starting")
                    begun_s = time.perf_counter()
                    process = stack.enter_context(Isolated(verbose=self._verbose))
                    opening.add(pool.submit(self._open, lane, process, begun_s))
                _results(opening)
            except KeyboardInterrupt:
                stack.close()  # or the pool would wait for whatever still opens
                raise

    @staticmethod
    def _open(lane: Lane, process: Isolated, begun_s: float) -> None:
        lane.ask(process, worker.awake)
        start_s = time.perf_counter() - begun_s
        found = lane.ask(process, worker.start, lane.task, seconds=_START_LIMIT_S) if not lane.absent else None
        lane.opened(found if isinstance(found, worker.Started) else None, start_s)
        lane.workers.append(process)
        if not lane.running:
            for started in lane.workers:
                started.stop()

    def _warm_up(self) -> None:
        limits = self._effort.warm_up_limits(self._relay)
        for lane in self._unfinished():
            for row in lane.rows:
                if not row.may_go_on(self._effort):
                    continue
                self._tell(lane, "warming up")
                for process in lane.workers:
                    if row.absent:
                        break
                    found = lane.ask(
                        process, worker.warm, row.batch_size, limits, seconds=limits.most_ns / SECOND_NS, row=row
                    )
                    if isinstance(found, WarmUp) and not self._relay:
                        row.warmed(found)

    def _sample(self) -> None:
        turns = self._share(self._relay)
        while waiting := self._waiting():
            turns += 1
            self._random.shuffle(waiting)
            for lane, row in waiting:
                if lane.absent:
                    continue
                self._tell(lane, f"round {turns}")
                self._take_turn(lane, row)
        if not self._relay:
            self._read_memory()

    def _read_memory(self) -> None:
        for lane in self._running():
            if lane.task.url and not lane.task.pid:
                continue  # a server that somebody else started: nobody here knows its memory
            found = lane.ask(lane.workers[0], worker.peak_bytes, lane.task.pid)
            lane.peak_bytes = found if isinstance(found, int) else None

    def _take_turn(self, lane: Lane, row: Row) -> None:
        limits = self._effort.round_limits
        if len(row.rounds) >= self._effort.rounds:
            # What still lacks samples goes on with longer rounds, so that its waiting costs the others nothing.
            stretch = int(
                min(self._effort.most_s - row.spent_s, 2 * self._effort.least_s / self._effort.rounds) * SECOND_NS
            )
            limits = Limits(1, max(stretch, 1), max(stretch, 1))
        process = lane.workers[len(row.rounds) % len(lane.workers)]
        found = lane.ask(process, worker.turn, row.batch_size, limits, seconds=limits.most_ns / SECOND_NS, row=row)
        if isinstance(found, worker.Turn):
            row.add(found, process.pid)

    def _running(self) -> list[Lane]:
        return [lane for lane in self._lanes if lane.running]

    def _unfinished(self) -> list[Lane]:
        """Those with a row that the cap leaves more rounds."""
        return [lane for lane in self._running() if any(row.may_go_on(self._effort) for row in lane.rows)]

    def _share(self, relays: int) -> int:
        """How many rounds so many sets of workers take."""
        return self._effort.rounds * relays // self._effort.relays

    def _waiting(self) -> list[tuple[Lane, Row]]:
        """Rows that the present workers still measure: each set its share of the rounds, the last one what it takes."""
        found = [(lane, row) for lane in self._running() for row in lane.rows]
        share = self._share(self._relay + 1)
        if share < self._effort.rounds:
            return [(lane, row) for lane, row in found if len(row.rounds) < share and row.may_go_on(self._effort)]
        vague = self._vague(found)
        return [(lane, row) for lane, row in found if row.lacks(self._effort) or id(row) in vague]

    def _vague(self, found: Sequence[tuple[Lane, Row]]) -> set[int]:
        """Rows, by their identity, whose ratio to the baseline more rounds would bring as near as the effort asks for.

        Rounds without one of the baseline beside them would not, so that is among them.
        """
        effort, vague = self._effort, set[int]()
        if effort.within == math.inf:
            return vague
        baselines = {(lane.task.threads, row.batch_size): row for lane, row in found if lane.task.path == BASELINE}
        for lane, row in found:
            beside = baselines.get((lane.task.threads, row.batch_size))
            if beside is None or beside is row or len(row.rounds) < effort.rounds:
                continue
            if not (row.may_go_on(effort) and beside.may_go_on(effort)):
                continue
            if ratio_within(beside.rounds, row.rounds) > effort.within:
                vague |= {id(row), id(beside)}
        return vague

    def _tell(self, lane: Lane, what: str) -> None:
        elapsed = time.monotonic() - self._begun
        rows = [row for one in self._lanes for row in one.rows if not (one.absent or row.absent)]
        rounds = self._effort.rounds * max(1, len(rows))
        done = sum(min(len(row.rounds), self._effort.rounds) for row in rows)
        left = (rounds - done) * min(self._effort.least_s, self._effort.most_s) / self._effort.rounds
        left += sum(row.warm_up is None for row in rows) * self._effort.warm_up_s * 1.5
        left += sum(one.started is None and not one.absent for one in self._lanes) * self._effort.workers * 4.0
        left += (self._effort.relays - 1 - self._relay) * len(self._unfinished()) * self._effort.workers * 3.0
        self._progress(f"{lane.task.model}: {what} {lane.task.path}", elapsed, elapsed + left)


def _results(opened: Iterable["Future[None]"]) -> None:
    for found in opened:
        found.result()
