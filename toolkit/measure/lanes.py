"""What a session keeps of each path while it measures: its workers, and a row for each batch size."""

from array import array
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from toolkit.building.isolate import ChildDied, Isolated
from toolkit.building.machine import available_bytes
from toolkit.errors import ToolkitError
from toolkit.measure import worker
from toolkit.measure.measurement import WINDOW_TOLERANCE, WINDOWS, Key, Measurement
from toolkit.measure.plan import Effort, Task
from toolkit.measure.sampling import SECOND_NS, WarmUp
from toolkit.measure.statistics import rounds_flat, samples_needed

_ANSWER_LIMIT_S = 600.0  # beyond the turn's own time: one call may be slow


@dataclass
class Row:
    """One path at one batch size, while it is measured."""

    batch_size: int
    warm_up: WarmUp | None = None
    rounds: "list[array[int]]" = field(default_factory=list)
    phases: "dict[str, array[int]]" = field(default_factory=dict)
    processes: list[int] = field(default_factory=list)
    spent_s: float = 0.0
    absent: str = ""

    def warmed(self, found: WarmUp) -> None:
        """One of the first workers is warm: the first one's length is shown, and all must have become flat."""
        self.warm_up = found if self.warm_up is None else replace(self.warm_up, flat=self.warm_up.flat and found.flat)

    def add(self, turn: worker.Turn, process: int) -> None:
        """A worker, by its process id, has taken a round."""
        self.rounds.append(turn.samples_ns)
        self.processes.append(process)
        for name, values in turn.phases_ns.items():
            self.phases.setdefault(name, array("q")).extend(values)
        self.spent_s += sum(turn.samples_ns) / SECOND_NS

    def may_go_on(self, effort: Effort) -> bool:
        """Whether it runs, and the cap leaves room for one more round."""
        if self.absent:
            return False
        # A round much shorter than the others, to use up the last of the cap, would hold the few calls after a pause.
        return not self.rounds or effort.most_s - self.spent_s >= effort.least_s / effort.rounds / 2

    def lacks(self, effort: Effort) -> bool:
        """Whether more rounds could still make it valid."""
        if not self.may_go_on(effort):
            return False
        count = sum(map(len, self.rounds))
        if len(self.rounds) < effort.rounds or count < samples_needed(max(effort.percentiles)):
            return True
        flat = rounds_flat(self.rounds, WINDOWS, WINDOW_TOLERANCE)
        return not flat and self.spent_s < effort.least_s * effort.patience


@dataclass
class Lane:
    """One path, its present workers and its rows; the cold start and the memory are those of its first worker."""

    task: Task
    workers: list[Isolated] = field(default_factory=list)
    started: worker.Started | None = None
    start_s: float = 0.0
    peak_bytes: int | None = None
    absent: str = ""
    rows: list[Row] = field(default_factory=list)

    @property
    def running(self) -> bool:
        """Whether its workers answer, and rightly."""
        return self.started is not None and not self.started.problem and not self.absent

    def ask(
        self,
        process: Isolated,
        function: Callable[..., object],
        *args: object,
        seconds: float = 0.0,
        row: Row | None = None,
    ) -> object:
        """An answer of one worker; None when it failed: the row asked about says why, or the lane where all failed."""
        try:
            return process.run(function, *args, timeout_s=seconds + _ANSWER_LIMIT_S)
        except ToolkitError as error:
            if row is None or isinstance(error, ChildDied):
                self.absent = error.message
            else:
                row.absent = error.message
            return None

    def opened(self, found: worker.Started | None, start_s: float) -> None:
        """A worker has started, or has not: whichever answers wrongly, the path is wrong."""
        if self.started is None:
            self.started, self.start_s = found, start_s
            for row in self.rows:
                row.absent = found.absent.get(row.batch_size, "") if found is not None else ""
        elif found is not None and found.problem:
            self.started = found

    def has_room(self) -> bool:
        """Whether memory is free for another worker, while one more may be starting."""
        peak, free = self.ask(self.workers[0], worker.peak_bytes, 0), available_bytes()
        return not isinstance(peak, int) or free is None or free > 3 * peak

    def measurements(self) -> list[Measurement]:
        """What was found so far, by batch size."""
        cold = {"process": self.start_s, **self.started.cold_s} if self.started else {}
        return [
            Measurement(
                key=Key(self.task.model, self.task.path, row.batch_size, self.task.threads),
                problem=self.started.problem if self.started else "",
                absent=self.absent or row.absent,
                caveat=self.started.caveat if self.started else "",
                cold_s=cold,
                warm_up=row.warm_up,
                rounds=() if self.absent or row.absent else tuple(row.rounds),
                phases_ns=row.phases,
                peak_bytes=self.peak_bytes,
                processes=_numbered(row.processes),
            )
            for row in self.rows
        ]


def _numbered(processes: list[int]) -> tuple[int, ...]:
    """Process ids as numbers from 0, in the order in which they came."""
    numbers = {process: number for number, process in enumerate(dict.fromkeys(processes))}
    return tuple(numbers[process] for process in processes)
