"""What reports of `bench` and `load` say of one server: requests a second within the SLO, memory, its cores."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from toolkit.errors import UsageError
from toolkit.measure.load.report import LoadReport
from toolkit.measure.measurement import Measurement
from toolkit.measure.reading import read_any
from toolkit.measure.report import Report

_LOAD_HINT = "`tfx-export load MODEL --slo p99=20ms --json` finds the highest rate that holds a limit"


@dataclass(frozen=True)
class Figure:
    """A number, and where it comes from in words."""

    value: float
    source: str


@dataclass(frozen=True)
class Figures:
    """What reports say of one server.

    Args:
        capacity: requests a second; None where no report says it.
        memory: its largest resident memory under load, in bytes; None likewise.
        rows: what a benchmark measured of it over gRPC, by batch size.
        cores: of the machine that was measured.
    """

    capacity: Figure | None = None
    memory: Figure | None = None
    rows: Sequence[Measurement] = ()
    cores: int = 1


def read_figures(paths: Sequence[Path], names: Collection[str]) -> Figures:
    """The figures in reports; a load, which knows a limit, counts before a benchmark, which knows one caller.

    Args:
        paths: files of `tfx-export bench --json` and `tfx-export load --json`.
        names: what the model is called, by its bundle and by its clients.

    Raises:
        BenchError: a file holds no report.
        UsageError: a load was of another model, or says of no rate that it holds a limit.
    """
    reports = [read_any(path) for path in paths]
    loads = [found for found in reports if isinstance(found, LoadReport)]
    rows = [row for found in reports if isinstance(found, Report) for row in _served(found, names)]
    capacities = [*(_held(load, names) for load in loads), *(_single(row) for row in rows if row.key.batch_size == 1)]
    memories = [Figure(load.server_bytes, "measured under load") for load in loads if load.server_bytes]
    cores = [int(found.machine.get("cores") or 1) for found in (*loads, *reports)]
    return Figures(
        capacity=next(iter(capacities), None),
        memory=next(iter(memories), None),
        rows=sorted(rows, key=lambda row: row.key.batch_size),
        cores=next(iter(cores), 1),
    )


def _held(load: LoadReport, names: Collection[str]) -> Figure:
    """The highest rate that held the limit: found by a search, or the highest of those that were asked for."""
    if not set(load.models) <= set(names):
        raise UsageError(
            f"a load of {', '.join(load.models)} says nothing of {' or '.join(sorted(names))}", hint=_LOAD_HINT
        )
    slo = load.found.get("slo")
    if slo is None:
        raise UsageError("the load report knows no limit, so that no rate is said to hold one", hint=_LOAD_HINT)
    broken = slo.get("broken")
    asked = [point.shape for point in load.points if point.shape.rate]
    held = [shape for shape in asked if shape.rate == slo.get("rate")]
    if broken is not None:
        held = sorted((shape for shape in asked if str(shape) not in broken), key=lambda shape: shape.rate)
    if not held:
        raise UsageError(f"no rate of the load held: {slo['said']}", hint="loosen the limit, or mend the model")
    shape = held[-1]
    bound = "the highest that was tried, " if broken is not None else ""
    source = f"{bound}{slo['limit']} in `tfx-export load`, batch {shape.batch_size} over {shape.protocol}"
    return Figure(round(shape.rate, 1), source)


def _served(report: Report, names: Collection[str]) -> list[Measurement]:
    return [row for row in report.measurements if row.key.path == "grpc" and row.timed and row.key.model in names]


def _single(row: Measurement) -> Figure:
    return Figure(round(row.rows_per_s, 1), f"one caller that waits for each answer ({row.key}): a lower bound")
