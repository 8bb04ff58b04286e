"""Two load reports of one machine, load by load: p50 and p99 faster, slower or no different, with the interval."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from toolkit.errors import BenchError
from toolkit.measure.comparing import Change, Comparison
from toolkit.measure.load.point import Point
from toolkit.measure.load.report import LoadReport
from toolkit.measure.machine import changed, unlike
from toolkit.measure.measurement import Status
from toolkit.measure.statistics import percentile, ratio_of_runs

COMPARED = (50.0, 99.0)
# Blocks of the bootstrap: a part of the run is a moment of the machine, as a round of a benchmark is.
_WINDOWS = 10


@dataclass(frozen=True)
class LoadKey:
    """Which row of a comparison: a load and one of its percentiles.

    Args:
        path: protocol, load and percentile, as in `grpc, 200/s constant, p99`.
        threads: nothing; a load has none of its own.
    """

    model: str
    path: str
    batch_size: int
    threads: str = "-"

    def __str__(self) -> str:
        return f"{self.model} {self.path} at batch {self.batch_size}"


def compare_loads(base: LoadReport, new: LoadReport) -> Comparison:
    """Every load that stands in both.

    Raises:
        BenchError: the machines are unlike, or no load stands in both.
    """
    differences = unlike(base.machine, new.machine)
    if differences:
        raise BenchError(
            f"these reports are from unlike machines: {'; '.join(differences)}", hint="measure on one machine"
        )
    theirs = {point.shape: point for point in new.points}
    both = [(point, theirs[point.shape]) for point in base.points if point.shape in theirs]
    if not both:
        raise BenchError("no load stands in both reports", hint="load the same model at the same rates or concurrency")
    changes = tuple(_change(one, other, wanted) for one, other in both for wanted in COMPARED)
    return Comparison(changes, tuple(changed(base.machine, new.machine)))


def _change(one: Point, other: Point, wanted: float) -> Change:
    shape = one.shape
    key = LoadKey(shape.model, f"{shape.protocol}, {shape.load}, p{wanted:g}", shape.batch_size)
    for point in (other, one):
        status, why = point.status
        if status is Status.WRONG or not len(point.corrected_ns):
            return Change(key, None, f"{status.value}: {why}")
        if percentile(point.corrected_ns, wanted) is None:
            return Change(key, None, f"too few samples for p{wanted:g}")
    notes = [
        f"{name} {status.value}: {why}"
        for name, point in (("base", one), ("new", other))
        for status, why in [point.status]
        if status is Status.INVALID
    ]
    first, second = ([part.corrected_ns for part in point.records.windows(_WINDOWS)] for point in (one, other))
    return Change(key, ratio_of_runs(first, second, _percentile(wanted)), "; ".join(notes))


def _percentile(wanted: float) -> Callable[[Any], float]:
    return lambda samples: float(np.percentile(samples, wanted))
