"""What was measured of one path: raw call times by round; everything else is computed from them on demand."""

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from toolkit.measure.plan import SERVED, Effort, Threads
from toolkit.measure.sampling import WarmUp
from toolkit.measure.statistics import Interval, outliers, percentile, ratio, rounds_flat, samples_needed

WINDOWS, WINDOW_TOLERANCE = 3, 0.10


class Status(Enum):
    """What became of a path."""

    VALID = "valid"
    INVALID = "INVALID"
    WRONG = "WRONG"
    UNAVAILABLE = "n/a"


@dataclass(frozen=True)
class Key:
    """Which row of a report a measurement is."""

    model: str
    path: str
    batch_size: int
    threads: Threads

    def __str__(self) -> str:
        return f"{self.model} {self.path} at batch {self.batch_size}, {self.threads} threads"


@dataclass(frozen=True)
class Measurement:
    """One path of one model at one batch size and thread setting.

    Args:
        problem: why its answers are wrong, for which it gets no time.
        absent: why it could not run at all.
        caveat: what could not be asked of its answers.
        cold_s: seconds of each part of its cold start, in order.
        rounds: nanoseconds of each call, round by round.
        phases_ns: for served paths, nanoseconds of each phase of each call.
        peak_bytes: the most memory its process held.
        processes: which process took each round, counted from 0; empty where one took them all.
    """

    key: Key
    problem: str = ""
    absent: str = ""
    caveat: str = ""
    cold_s: Mapping[str, float] = field(default_factory=dict)
    warm_up: WarmUp | None = None
    rounds: "tuple[array[int], ...]" = ()
    phases_ns: "Mapping[str, array[int]]" = field(default_factory=dict)
    peak_bytes: int | None = None
    processes: tuple[int, ...] = ()

    @cached_property
    def samples_ns(self) -> npt.NDArray[np.int64]:
        """All call times, in the order in which they were taken."""
        parts = [np.frombuffer(part, dtype=np.int64) for part in self.rounds if len(part)]
        return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)

    @property
    def workers(self) -> int:
        """Processes that took its rounds."""
        return max(1, len(set(self.processes)))

    @property
    def computing_processes(self) -> tuple[int, ...]:
        """As `processes`, of those that compute: a served path's is one server all the time, whoever asks it."""
        return () if self.key.path in SERVED else self.processes

    def times_as_fast_as(self, baseline: "Measurement") -> Interval | None:
        """By the rounds that they took side by side."""
        return ratio(baseline.rounds, self.rounds, (baseline.computing_processes, self.computing_processes))

    @property
    def timed(self) -> bool:
        """Whether there is a time to show."""
        return not self.problem and not self.absent and len(self.samples_ns) > 0

    def percentile_s(self, wanted: float) -> Interval | None:
        """A percentile in seconds with its bounds; None where the samples are too few."""
        found = percentile(self.samples_ns, wanted)
        return Interval(found.value / 1e9, found.low / 1e9, found.high / 1e9) if found else None

    @property
    def median_s(self) -> float:
        """Seconds; of however few samples."""
        return float(np.median(self.samples_ns)) / 1e9

    @property
    def mean_s(self) -> float:
        """Seconds."""
        return float(self.samples_ns.mean()) / 1e9

    @property
    def rows_per_s(self) -> float:
        """Throughput of one caller that waits for each answer."""
        return self.key.batch_size / self.mean_s

    @property
    def once_s(self) -> float:
        """What a path costs once, before its first steady call: trace and first call."""
        return self.cold_s.get("trace", 0.0) + self.cold_s.get("first call", 0.0)

    @property
    def outliers(self) -> int:
        """Samples far above the rest; they are kept."""
        return outliers(self.samples_ns) if self.timed else 0

    def doubts(self, effort: Effort) -> list[str]:
        """What keeps the figures from being valid; empty when nothing does."""
        count = len(self.samples_ns)
        found = []
        if self.warm_up is not None and not self.warm_up.flat:
            found.append(f"not warm after {self.warm_up.calls} calls in {self.warm_up.elapsed_ns / 1e9:.1f} s")
        spent = float(self.samples_ns.sum()) / 1e9
        # A round ends with the call that reaches its time, and the loop itself is no sample.
        if spent < effort.least_s * 0.9:
            found.append(f"{spent:.1f} s of calls, {effort.least_s:g} s wanted")
        short = [wanted for wanted in effort.percentiles if count < samples_needed(wanted)]
        if short:
            found.append(f"p{short[0]:g} needs {samples_needed(short[0])} calls, there are {count}")
        if not rounds_flat(self.rounds, WINDOWS, WINDOW_TOLERANCE):
            found.append(f"not flat: {WINDOWS} windows differ by more than {WINDOW_TOLERANCE:.0%}")
        return found

    def status(self, effort: Effort) -> tuple[Status, str]:
        """The verdict and its reason."""
        if self.absent:
            return Status.UNAVAILABLE, self.absent
        if self.problem:
            return Status.WRONG, self.problem
        doubts = self.doubts(effort)
        return (Status.INVALID, "; ".join(doubts)) if doubts else (Status.VALID, "")

    def phase_medians_s(self) -> dict[str, float]:
        """Seconds of each phase of a served call: its median, or all that there is to say in one number."""
        return {name: float(np.median(values)) / 1e9 for name, values in self.phases_ns.items() if len(values)}

    def to_json(self) -> dict[str, Any]:
        """The facts, raw samples included."""
        warm = self.warm_up
        return {
            "model": self.key.model,
            "path": self.key.path,
            "batch_size": self.key.batch_size,
            "threads": {"intra": self.key.threads.intra, "inter": self.key.threads.inter},
            "problem": self.problem,
            "absent": self.absent,
            "caveat": self.caveat,
            "cold_s": dict(self.cold_s),
            "warm_up": vars(warm) if warm else None,
            "rounds_ns": [part.tolist() for part in self.rounds],
            "phases_ns": {name: values.tolist() for name, values in self.phases_ns.items()},
            "peak_bytes": self.peak_bytes,
            "workers": self.workers,
            "processes": list(self.processes),
        }

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> "Measurement":
        """The measurement that `to_json` wrote; KeyError, TypeError or ValueError where it is not one."""
        return cls(
            key=Key(entry["model"], entry["path"], entry["batch_size"], Threads(**entry["threads"])),
            problem=entry["problem"],
            absent=entry["absent"],
            caveat=entry.get("caveat", ""),
            cold_s=entry["cold_s"],
            warm_up=WarmUp(**entry["warm_up"]) if entry["warm_up"] else None,
            rounds=tuple(array("q", part) for part in entry["rounds_ns"]),
            phases_ns={name: array("q", values) for name, values in entry["phases_ns"].items()},
            peak_bytes=entry["peak_bytes"],
            processes=tuple(entry.get("processes", ())),
        )
