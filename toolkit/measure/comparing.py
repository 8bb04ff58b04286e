"""Two reports of one machine, path by path: faster, slower or no difference, with the interval."""

from dataclasses import dataclass
from typing import Any, Protocol

from toolkit.errors import BenchError, DeployError
from toolkit.measure.machine import changed, unlike
from toolkit.measure.measurement import Measurement, Status
from toolkit.measure.report import Report
from toolkit.measure.statistics import Interval, ratio_of_runs, verdict


class RowKey(Protocol):
    """Which row of a report is compared; written out, it names the row in a sentence."""

    @property
    def model(self) -> str:
        """Of which model."""

    @property
    def path(self) -> str:
        """How it was run."""

    @property
    def batch_size(self) -> int:
        """Rows of a call."""

    @property
    def threads(self) -> object:
        """With how many threads."""


@dataclass(frozen=True)
class Change:
    """How one row of a new report stands to the same row of a base.

    Args:
        speedup: how many times as fast the new one is; None where one of them has no time.
        note: why there is no verdict.
    """

    key: RowKey
    speedup: Interval | None
    note: str = ""

    @property
    def verdict(self) -> str:
        """`faster`, `slower`, `no difference`, or `unknown`."""
        return verdict(self.speedup)

    def slower_than(self, share: float) -> bool:
        """Whether it is slower, surely, and by more than a share of the base's time."""
        return self.speedup is not None and self.verdict == "slower" and 1 / self.speedup.value - 1 > share

    def to_json(self) -> dict[str, Any]:
        """The row and its verdict."""
        key, found = self.key, self.speedup
        return {
            "model": key.model,
            "path": key.path,
            "batch_size": key.batch_size,
            "threads": str(key.threads),
            "verdict": self.verdict,
            "speedup": found.value if found else None,
            "low": found.low if found else None,
            "high": found.high if found else None,
            "note": self.note,
        }


@dataclass(frozen=True)
class Comparison:
    """All rows of both reports, and what else differs between them."""

    changes: tuple[Change, ...]
    differences: tuple[str, ...]

    def refusal(self, share: float | None) -> DeployError | None:
        """What a gate says that lets no path be slower by more than a share, nor lose its right answers."""
        if share is None:
            return None
        slow = [change for change in self.changes if change.slower_than(share)]
        lost = [change for change in self.changes if change.note.startswith(Status.WRONG.value)]
        named = [f"{change.key} takes {1 / change.speedup.value:.2f} x as long" for change in slow if change.speedup]
        named += [f"{change.key}: {change.note}" for change in lost]
        return DeployError("; ".join(named), hint=f"the gate is {share:.1%} (--fail-above)") if named else None


def compare_reports(base: Report, new: Report) -> Comparison:
    """Every row that stands in both.

    Raises:
        BenchError: the machines are unlike, or no row stands in both.
    """
    differences = unlike(base.machine, new.machine)
    if differences:
        raise BenchError(
            f"these reports are from unlike machines: {'; '.join(differences)}", hint="measure on one machine"
        )
    both = [(found, other) for found in base.measurements if (other := new.find(found.key)) is not None]
    if not both:
        raise BenchError("no path stands in both reports", hint="measure the same model, batch size and threads")
    changes = tuple(_change(one, other, base, new) for one, other in both)
    return Comparison(changes, tuple(changed(base.machine, new.machine)))


def _change(one: Measurement, other: Measurement, base: Report, new: Report) -> Change:
    for found, report in ((other, new), (one, base)):
        status, why = found.status(report.effort)
        if not found.timed:
            return Change(found.key, None, f"{status.value}: {why}")
    notes = [
        f"{name} {status.value}: {why}"
        for name, found, report in (("base", one, base), ("new", other, new))
        for status, why in [found.status(report.effort)]
        if status is Status.INVALID
    ]
    return Change(
        one.key, ratio_of_runs(one.rounds, other.rounds, processes=(one.processes, other.processes)), "; ".join(notes)
    )
