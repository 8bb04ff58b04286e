"""A report as one self-contained HTML page: no request leaves it, and it has a light and a dark face."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from html import escape
from typing import Any

import numpy as np

from toolkit.measure import charts
from toolkit.measure.dress import document, figure, machine_line, styled, table_html
from toolkit.measure.measurement import Measurement
from toolkit.measure.plan import BASELINE
from toolkit.measure.report import Report
from toolkit.measure.table import COLD, PHASES, Table, tables_of

_POINTS = 80
_BREAK_EVEN_CALLS = 1e5

Chart = Callable[[Report, Sequence[Measurement]], str]


def page(report: Report) -> str:
    """The whole document."""
    return document(_title(report), fragment(report))


def fragment(report: Report) -> str:
    """What a page or a notebook shows."""
    more = {"effort": report.effort.name, "measured": report.created}
    body = [f"<h1>{escape(_title(report))}</h1>", machine_line(report.machine, more)]
    body += [table_html(table) for table in tables_of(report)]
    for model in report.models:
        body += _charts(report, model)
        body.append(_facts(model, report.models[model]))
    return styled("".join(body))


def _title(report: Report) -> str:
    return f"tfx-export bench: {', '.join(report.models)}"


def _charts(report: Report, model: str) -> list[str]:
    own = [found for found in report.measurements if found.key.model == model and found.timed]
    parts = []
    for setting in dict.fromkeys(replace(found.key, path="") for found in own):
        rows = [found for found in own if replace(found.key, path="") == setting]
        name = f"{model}, batch {setting.batch_size}, {setting.threads} threads"
        parts += [figure(f"{title}: {name}", chart(report, rows)) for title, chart in _EACH.items()]
    parts += [figure(f"{title}: {model}", chart(report, own)) for title, chart in _ALL.items()]
    return parts


def _distributions(_: Report, rows: Sequence[Measurement]) -> str:
    shares = np.linspace(0, 1, _POINTS)
    curves = {}
    for found in rows:
        times = np.quantile(found.samples_ns, shares) / 1e9
        curves[found.key.path] = [(float(time), float(share) * 100) for time, share in zip(times, shares, strict=True)]
    return charts.lines(
        curves,
        charts.Axis("time of a call", charts.SECONDS),
        charts.Axis("share of calls", charts.Text("%"), logarithmic=False),
    )


def _percentiles(_: Report, rows: Sequence[Measurement]) -> str:
    found = {}
    for row in rows:
        named = ((f"p{wanted}", row.percentile_s(wanted)) for wanted in (50, 99))
        found[row.key.path] = {name: interval.value for name, interval in named if interval}
    return charts.bars(found, charts.SECONDS)


def _break_even(report: Report, rows: Sequence[Measurement]) -> str:
    calls = charts.spaced(1, _BREAK_EVEN_CALLS, 40)
    curves = {
        found.key.path: [(count, found.once_s + count * found.mean_s) for count in calls]
        for found in rows
        if found.key.path == BASELINE or report.break_even(found)
    }
    if BASELINE not in curves or len(curves) < 2:
        return ""
    return charts.lines(
        curves, charts.Axis("calls", charts.Text()), charts.Axis("trace, first call and all calls", charts.SECONDS)
    )


def _throughput(_: Report, rows: Sequence[Measurement]) -> str:
    curves: dict[str, list[tuple[float, float]]] = {}
    for found in sorted(rows, key=lambda row: row.key.batch_size):
        name = (
            found.key.path if len({row.key.threads for row in rows}) == 1 else f"{found.key.path} ({found.key.threads})"
        )
        curves.setdefault(name, []).append((found.key.batch_size, found.rows_per_s))
    if len({found.key.batch_size for found in rows}) < 2:
        return ""
    curves = {name: points for name, points in curves.items() if len(points) > 1}
    return charts.lines(curves, charts.Axis("rows of a call", charts.Text()), charts.Axis("rows/s", charts.Text()))


def _cold_starts(_: Report, rows: Sequence[Measurement]) -> str:
    found: dict[str, dict[str, float]] = {}
    for row in rows:
        found.setdefault(row.key.path, {part: row.cold_s[part] for part in COLD if part in row.cold_s})
    return charts.stacks(found, charts.SECONDS)


def _served(_: Report, rows: Sequence[Measurement]) -> str:
    found = {}
    for row in rows:
        medians = row.phase_medians_s()
        if medians:
            name = f"{row.key.path}, batch {row.key.batch_size}"
            found[name] = {phase: medians[phase] for phase in PHASES if phase in medians}
    return charts.stacks(found, charts.SECONDS)


_EACH: Mapping[str, Chart] = {
    "Latency distributions": _distributions,
    "p50 and p99": _percentiles,
    "Break-even": _break_even,
}
_ALL: Mapping[str, Chart] = {
    "Throughput against batch": _throughput,
    "Where a served call's time goes": _served,
    "Cold start": _cold_starts,
}


def _facts(model: str, facts: Mapping[str, Any]) -> str:
    """What is known of the model's graph."""
    rows = [(name, json.dumps(value, ensure_ascii=False)) for name, value in facts.get("trace", {}).items()]
    rows += [(f"bytes of {name}", f"{size:,}") for name, size in facts.get("artifacts", {}).items()]
    return table_html(Table(f"{model}: the graph", ("fact", "value"), tuple(rows))) if rows else ""
