"""Hand-made load reports for the tests: latencies that are known."""

from dataclasses import replace

from tests.measure.load.world import MS, point
from tests.measure.reports import MACHINE
from toolkit.measure.load.point import Point
from toolkit.measure.load.report import LoadReport


def two_loads(*, slower: int = 1, cpu: float = 0.1) -> LoadReport:
    """A thousand a second in 2 ms, with a tail, and four hundred in 1 ms."""
    times = [(20 if at % 50 == 0 else 2) * MS * slower + at % 11 * 10_000 for at in range(6000)]
    quick = [1 * MS * slower + at % 7 * 10_000 for at in range(3000)]
    return report(point(times, cpu=cpu), point(quick, rate=400.0))


def searched(rate: float | None) -> LoadReport:
    """A search that found a rate, or none."""
    said = "300/s holds" if rate else "not even 1/s holds"
    return replace(two_loads(), found={"slo": {"limit": "p99 within 20 ms", "rate": rate, "said": said}})


def report(*points: Point) -> LoadReport:
    """A report of one machine."""
    return LoadReport("2026-11-22T12:00:00+00:00", MACHINE, {"slo": None}, 1, points)
