"""Two reports of one machine, path by path: faster, slower or no difference, with the interval."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from toolkit.errors import BenchError, DeployError
from toolkit.measure.machine import changed, unlike
from toolkit.measure.measurement import Key, Status
from toolkit.measure.plan import BASELINE
from toolkit.measure.report import Report, unlike_settings
from toolkit.measure.statistics import Interval, Processes, Rounds, ratio_of_runs, verdict

# Why no gate lets a row through, whatever its time: the base had a figure and the new report has none, the new
# report's answers are wrong, or the two figures are of unlike things.
LOST, WRONG, UNLIKE = "lost", Status.WRONG.value, "not comparable"
_LEAST_ROUNDS = 2


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
class Side:
    """What one of the two reports holds of a row.

    Args:
        gap: why it has no figure to compare; empty where it has one.
        wrong: whether that is because its answers are wrong.
        asked: whether the report was to have a figure of it.
        doubt: what speaks against the figure that it has.
        rounds: of call times.
        processes: which process took each round; empty where one took them all.
    """

    gap: str = ""
    wrong: bool = False
    asked: bool = True
    doubt: str = ""
    rounds: Rounds = ()
    processes: Processes = ()


@dataclass(frozen=True)
class Change:
    """How one row of a new report stands to the same row of a base.

    Args:
        speedup: how many times as fast the new one is; None where one of them has no time.
        note: why there is no verdict, or what speaks against the figures.
        failure: why no gate lets it through: `lost`, `WRONG`, `not comparable`, or nothing.
    """

    key: RowKey
    speedup: Interval | None
    note: str = ""
    failure: str = ""

    @property
    def verdict(self) -> str:
        """`faster`, `slower`, `no difference`, `unknown`, or its failure."""
        return self.failure or verdict(self.speedup)

    def slower_than(self, share: float) -> bool:
        """Whether it is surely slower, and its estimate by more than a share of the base's time."""
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
            "failure": self.failure,
        }


@dataclass(frozen=True)
class Comparison:
    """All rows of both reports, and what else differs between them."""

    changes: tuple[Change, ...]
    differences: tuple[str, ...]

    def refusal(self, share: float | None) -> DeployError | None:
        """What a gate says that lets no path be slower by more than a share, nor lose its figure or right answers."""
        if share is None:
            return None
        named = [
            f"{change.key} takes {1 / change.speedup.value:.2f} x as long"
            for change in self.changes
            if change.speedup and change.slower_than(share)
        ]
        named += [f"{change.key}: {change.failure}: {change.note}" for change in self.changes if change.failure]
        return DeployError("; ".join(named), hint=f"the gate is {share * 100:g}% (--fail-above)") if named else None


def judged(key: RowKey, base: Side, new: Side, of: Callable[[Any], Any] = np.median) -> Change:
    """One row by what both reports hold of it: each is judged by its own words, so a base that was wrong bars nothing.

    Args:
        key: which row.
        base: what the base holds.
        new: what the new report holds.
        of: what stands for a round: its median, or another percentile.
    """
    if new.wrong:
        return Change(key, None, new.gap, WRONG)
    if new.gap:
        return Change(key, None, new.gap, LOST if new.asked and not base.gap else "")
    if base.gap:
        return Change(key, None, base.gap)
    doubts = "; ".join(side.doubt for side in (base, new) if side.doubt)
    taken = base.processes, new.processes
    return Change(key, ratio_of_runs(base.rounds, new.rounds, of, taken), doubts)


def side(name: str, status: tuple[Status, str], rounds: Rounds | None) -> Side:
    """What a report holds of a row that stands in it.

    Args:
        name: of the report, `base` or `new`.
        status: the row's verdict and its reason.
        rounds: of call times; None where it has no time.
    """
    found, why = status
    said = f"{name} {found.value}: {why}"
    if found is Status.WRONG or rounds is None:
        return Side(said, wrong=found is Status.WRONG)
    # The spread between rounds is what the interval is made of.
    if sum(len(part) > 0 for part in rounds) < _LEAST_ROUNDS:
        return Side(f"{name}: fewer than {_LEAST_ROUNDS} rounds")
    return Side(doubt=said if found is Status.INVALID else "", rounds=rounds)


def missing(name: str) -> Side:
    """What a report holds of a row that does not stand in it."""
    return Side(f"not in the {name} report")


def compare_reports(base: Report, new: Report) -> Comparison:
    """Every row that stands in either.

    Raises:
        BenchError: the machines are unlike, no row stands in both, or all that do are of unlike things.
    """
    differences = unlike(base.machine, new.machine)
    if differences:
        raise BenchError(
            f"these reports are from unlike machines: {'; '.join(differences)}", hint="measure on one machine"
        )
    both = [found.key for found in base.measurements if new.find(found.key) is not None]
    if not both:
        raise BenchError("no path stands in both reports", hint="measure the same model, batch size and threads")
    apart = {key: unlike_settings(base, new, key) for key in both}
    if all(apart.values()):
        named = dict.fromkeys(setting for found in apart.values() for setting in found)
        raise BenchError(
            f"these reports measured unlike things: {'; '.join(named)}", hint="give both the same options of bench"
        )
    keys = dict.fromkeys(found.key for report in (base, new) for found in report.measurements)
    changes = tuple(_change(key, base, new, apart.get(key, [])) for key in keys)
    return Comparison(changes, (*_efforts(base, new), *changed(base.machine, new.machine)))


def _change(key: Key, base: Report, new: Report, apart: list[str]) -> Change:
    one, other = (_side(name, report, key) for name, report in (("base", base), ("new", new)))
    found = judged(key, one, other)
    return Change(key, None, "; ".join(apart), UNLIKE) if apart and found.speedup else found


def _side(name: str, report: Report, key: Key) -> Side:
    row = report.find(key)
    if row is None:
        return missing(name) if _asked(report, key) else Side(f"not asked for in the {name} report", asked=False)
    found = side(name, row.status(report.effort), row.rounds if row.timed else None)
    return found if found.gap else replace(found, processes=row.computing_processes)


def _asked(report: Report, key: Key) -> bool:
    """Whether the options of its run ask for such a row: who measures some paths only has not lost the others."""
    paths, sizes = (report.settings.get(name) for name in ("paths", "batch_sizes"))
    rows = [found.key for found in report.measurements]
    return (
        key.model in {row.model for row in rows}
        and key.threads in {row.threads for row in rows if row.model == key.model}
        and (not paths or key.path in (*paths, BASELINE))
        and (not sizes or key.batch_size in sizes)
    )


def _efforts(base: Report, new: Report) -> list[str]:
    """How much harder one was measured than the other: that makes its intervals narrower, not its times."""
    pairs = (
        ("effort", base.effort.name, new.effort.name),
        ("seconds per path at most", f"{base.effort.most_s:g}", f"{new.effort.most_s:g}"),
    )
    return [f"{name} {one} -> {other}" for name, one, other in pairs if one != other]
