"""A load report as one self-contained HTML page, in the same dress as a benchmark's."""

from collections.abc import Sequence
from html import escape

import numpy as np

from toolkit.measure import charts
from toolkit.measure.dress import document, figure, machine_line, styled, table_html
from toolkit.measure.load.point import Point
from toolkit.measure.load.report import LoadReport
from toolkit.measure.load.tables import WHERE, tables_of

_WINDOWS = 60
_MOST_PERCENTILE = 5  # nines: p99.999
_CURVE_POINTS = 60
_SHOWN = 8  # loads in one chart; a search has many more


def page(report: LoadReport) -> str:
    """The whole document."""
    return document(_title(report), fragment(report))


def fragment(report: LoadReport) -> str:
    """What a page or a notebook shows."""
    body = [f"<h1>{escape(_title(report))}</h1>", machine_line(report.machine, {"measured": report.created})]
    body += [table_html(table) for table in tables_of(report)]
    for model in report.models:
        points = [point for point in report.points if point.shape.model == model and len(point.corrected_ns)]
        body += [figure(f"{title}: {model}", draw(points)) for title, draw in _CHARTS.items()]
    return styled("".join(body))


def _title(report: LoadReport) -> str:
    return f"tfx-export load: {', '.join(report.models)}"


def _name(point: Point) -> str:
    return f"{point.shape.load}, {point.shape.protocol}, batch {point.shape.batch_size}"


def _over_time(points: Sequence[Point]) -> str:
    curves: dict[str, list[tuple[float, float]]] = {}
    for point in points[-_SHOWN:]:
        for at, part in enumerate(point.records.windows(_WINDOWS)):
            if len(part.corrected_ns):
                seconds = (at + 0.5) * point.records.seconds / _WINDOWS
                for wanted in (50, 99) if len(points) <= _SHOWN // 2 else (99,):
                    latency = float(np.percentile(part.corrected_ns, wanted)) / 1e9
                    curves.setdefault(f"p{wanted} {_name(point)}", []).append((seconds, latency))
    return charts.lines(
        curves,
        charts.Axis("when a request was due", charts.SECONDS, logarithmic=False),
        charts.Axis("latency", charts.SECONDS),
    )


def _percentiles(points: Sequence[Point]) -> str:
    """Latency by how many of so many are slower: an axis on which each further nine is as far as the one before."""
    curves = {}
    for point in points[-_SHOWN:]:
        curves[_name(point)] = _tail(point.corrected_ns)
        if not point.shape.callers and len(points) <= _SHOWN // 2:
            curves[f"uncorrected {_name(point)}"] = _tail(point.records.uncorrected_ns)
    return charts.lines(curves, charts.Axis("percentile", charts.PERCENTILE), charts.Axis("latency", charts.SECONDS))


def _tail(latencies_ns: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> list[tuple[float, float]]:
    if not len(latencies_ns):
        return []
    # One in N requests is slower; more nines than there are samples would show only the largest again.
    most = min(10.0**_MOST_PERCENTILE, float(len(latencies_ns)))
    slower = [1.0, *charts.spaced(1.01, max(most, 2.0), _CURVE_POINTS)]
    times = np.quantile(latencies_ns, [1 - 1 / one for one in slower]) / 1e9
    return [(one, float(time)) for one, time in zip(slower, times, strict=True)]


def _throughput(points: Sequence[Point]) -> str:
    curves: dict[str, list[tuple[float, float]]] = {}
    for point in sorted(points, key=lambda one: one.records.rate_achieved):
        series = f"{point.shape.protocol}, batch {point.shape.batch_size}"
        series = f"{series}, {point.shape.variant}" if point.shape.variant else series
        for wanted in (50, 99):
            found = point.percentile_s(wanted)
            if found is not None:
                curves.setdefault(f"p{wanted} {series}", []).append((point.records.rate_achieved, found.value))
    curves = {name: found for name, found in curves.items() if len(found) > 1}
    return charts.lines(
        curves,
        charts.Axis("answers a second", charts.Text("/s"), logarithmic=False),
        charts.Axis("latency", charts.SECONDS),
    )


def _where(points: Sequence[Point]) -> str:
    rows = {}
    for point in points[-_SHOWN:]:
        medians = point.medians_s()
        rows[_name(point)] = {name: medians[name] for name in WHERE if name in medians}
    return charts.stacks(rows, charts.SECONDS)


_CHARTS = {
    "Latency over time": _over_time,
    "Percentiles": _percentiles,
    "Throughput against latency": _throughput,
    "Where a request's time goes": _where,
}
