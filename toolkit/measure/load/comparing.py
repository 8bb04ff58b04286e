"""Two load reports of one machine, load by load: p50 and p99 faster, slower or no different, with the interval."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from toolkit.errors import BenchError
from toolkit.measure.comparing import Change, Comparison, Side, judged, missing, side
from toolkit.measure.load.point import Point, Shape
from toolkit.measure.load.report import LoadReport
from toolkit.measure.machine import changed, unlike
from toolkit.measure.statistics import percentile

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
    """Every load that stands in either.

    Raises:
        BenchError: the machines are unlike, or no load stands in both.
    """
    differences = unlike(base.machine, new.machine)
    if differences:
        raise BenchError(
            f"these reports are from unlike machines: {'; '.join(differences)}", hint="measure on one machine"
        )
    ours, theirs = ({point.shape: point for point in report.points} for report in (base, new))
    if not ours.keys() & theirs.keys():
        raise BenchError("no load stands in both reports", hint="load the same model at the same rates or concurrency")
    changes = tuple(
        _change(shape, ours.get(shape), theirs.get(shape), wanted)
        for shape in {**ours, **theirs}
        for wanted in COMPARED
    )
    return Comparison(changes, tuple(changed(base.machine, new.machine)))


def _change(shape: Shape, one: Point | None, other: Point | None, wanted: float) -> Change:
    key = LoadKey(shape.model, f"{shape.protocol}, {shape.load}, p{wanted:g}", shape.batch_size)
    return judged(key, _side("base", one, wanted), _side("new", other, wanted), _percentile(wanted))


def _side(name: str, point: Point | None, wanted: float) -> Side:
    if point is None:
        return missing(name)
    rounds = [part.corrected_ns for part in point.records.windows(_WINDOWS)] if len(point.corrected_ns) else None
    found = side(name, point.status, rounds)
    if not found.gap and percentile(point.corrected_ns, wanted) is None:
        return Side(f"{name}: too few samples for p{wanted:g}")
    return found


def _percentile(wanted: float) -> Callable[[Any], float]:
    return lambda samples: float(np.percentile(samples, wanted))
