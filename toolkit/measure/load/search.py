"""Finds the highest rate that holds a limit, and the knee of a curve. Pure: what measures is given."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from toolkit.errors import BenchError
from toolkit.measure.load.point import Point
from toolkit.measure.measurement import Status
from toolkit.measure.statistics import samples_needed

# The rate is found to this share; what a repeated search differs by is more.
PRECISION = 0.03
MOST_ERRORS = 0.001
# A server that falls behind answers less than it is asked; the rest is what arrivals vary by.
LEAST_ACHIEVED = 0.95
HOPELESS = 0.8
# A percentile of the fewest samples that can show it swings by a third; of three times as many by less.
SAMPLES = 3


@dataclass(frozen=True)
class Slo:
    """A limit on a percentile.

    Args:
        percentile: as in 99.
        limit_s: in seconds.
    """

    percentile: float
    limit_s: float

    @classmethod
    def read(cls, name: str, limit_s: float) -> "Slo":
        """`p99` and its limit.

        Raises:
            BenchError: the name is no percentile.
        """
        try:
            wanted = float(name.removeprefix("p")) if name.startswith("p") else math.nan
        except ValueError:
            wanted = math.nan
        if not 0 < wanted < 100 or not limit_s > 0:
            raise BenchError(f"'{name}' is no percentile with a limit", hint="write --slo p99=20ms")
        return cls(wanted, limit_s)

    def seconds_at(self, rate: float) -> float:
        """How long a rate takes to give enough samples."""
        return SAMPLES * samples_needed(self.percentile) / rate

    def broken_by(self, point: Point) -> str:
        """Why a point does not hold the limit; empty where it does."""
        records = point.records
        status, why = point.status
        if status is Status.WRONG:
            return why
        if records.error_share > MOST_ERRORS:
            return f"{records.error_share:.1%} errors: {next(iter(records.errors))}"
        if not keeps_up(point):
            return f"only {records.rate_achieved:.0f}/s were answered"
        if status is Status.INVALID:
            return why  # the client's limit is not the server's: what is found is where both were what they should be
        found = point.percentile_s(self.percentile)
        if found is None:
            return f"too few samples for p{self.percentile:g}"
        return f"p{self.percentile:g} {found.value * 1e3:.3g} ms" if found.value > self.limit_s else ""

    def __str__(self) -> str:
        return f"p{self.percentile:g} within {self.limit_s * 1e3:g} ms"


@dataclass(frozen=True)
class Rates:
    """Where a search begins and where it gives up, in requests a second."""

    first: float
    least: float
    most: float


@dataclass(frozen=True)
class Found:
    """What a search came to.

    Args:
        slo: the limit.
        held: the loads that hold it, by rate.
        broken: those that do not, likewise.
        rate: the highest that holds it; None where none does.
    """

    slo: Slo
    held: Mapping[float, Point]
    broken: Mapping[float, Point]
    rate: float | None

    @property
    def point(self) -> Point | None:
        """The load at the rate that was found, or where there is none at the least that does not hold."""
        if self.rate is not None:
            return self.held[self.rate]
        return self.broken[min(self.broken)] if self.broken else None

    @property
    def said(self) -> str:
        """`120.0/s holds p99 within 20 ms; 124.1/s does not: p99 31 ms`."""
        least = min(self.broken, default=None)
        beyond = f"; {least:.1f}/s does not: {self.slo.broken_by(self.broken[least])}" if least is not None else ""
        return (
            f"{self.rate:.1f}/s holds {self.slo}" if self.rate is not None else f"no rate holds {self.slo}"
        ) + beyond

    def to_json(self) -> dict[str, Any]:
        """The limit and the rate, in numbers and words."""
        return {"limit": str(self.slo), "rate": self.rate, "said": self.said}


def highest_rate(holds: Callable[[float], bool], rates: Rates, precision: float = PRECISION) -> float | None:
    """The highest rate that holds, by doubling and then bisecting; None where not even the least one does.

    Where every rate below the first that broke holds, it may have been a moment that broke that: it is asked again, and
    where it holds now, the search goes on from there.
    """
    good, bad = _bracket(holds, rates, rates.first)
    while good and bad:
        found, least = _bisected(holds, good, bad, precision)
        if least < bad or not holds(bad):
            return found
        good, bad = _bracket(holds, rates, min(2 * bad, rates.most), bad)
    return good or None


def _bracket(holds: Callable[[float], bool], rates: Rates, rate: float, good: float = 0.0) -> tuple[float, float]:
    """A rate that holds and twice it, which does not; 0 for either that there is not."""
    bad = 0.0
    while not (good and bad):
        if good == rate:
            return good, 0.0
        if holds(rate):
            good = rate
        else:
            bad = rate
            if rate <= rates.least:
                return good, rate
        rate = bad / 2 if bad else min(2 * rate, rates.most)
        rate = max(rate, rates.least)
    return good, bad


def _bisected(holds: Callable[[float], bool], good: float, bad: float, precision: float) -> tuple[float, float]:
    while bad > good * (1 + precision):
        middle = math.sqrt(good * bad)
        good, bad = (middle, bad) if holds(middle) else (good, middle)
    return good, bad


def keeps_up(point: Point, share: float = LEAST_ACHIEVED) -> bool:
    """Whether as many requests, or a share of them, were answered as were asked."""
    return point.records.rate_achieved >= share * point.records.rate_offered


def search(slo: Slo, measure: Callable[[float], Point], rates: Rates) -> Found:
    """The highest rate at which a limit holds, by loads of one rate each.

    What fails is measured again, since a moment of the machine breaks a percentile; not where a server answers far
    less than it is asked, which no moment does.
    """
    held: dict[float, Point] = {}
    broken: dict[float, Point] = {}

    def holds(rate: float) -> bool:
        point = measure(rate)
        if slo.broken_by(point) and keeps_up(point, HOPELESS):
            point = measure(rate)
        kept = broken if slo.broken_by(point) else held
        kept[rate] = point
        return kept is held

    rate = highest_rate(holds, rates)
    return Found(slo, held, broken, rate)


def knee(points: Sequence[Point]) -> Point | None:
    """The point with the most throughput by mean latency: Kleinrock's power; below it load is cheap, above it dear."""
    timed = [point for point in points if len(point.corrected_ns)]
    return max(timed, key=lambda point: point.records.rate_achieved / float(point.corrected_ns.mean()), default=None)
