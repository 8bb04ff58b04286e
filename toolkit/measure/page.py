"""A report as one self-contained HTML page: no request leaves it, and it has a light and a dark face."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from html import escape
from typing import Any

import numpy as np

from toolkit.measure import charts
from toolkit.measure.dress import document, figure, machine_line, styled, table_html
from toolkit.measure.measurement import Measurement
from toolkit.measure.notes import served_notes
from toolkit.measure.plan import BASELINE
from toolkit.measure.report import Report
from toolkit.measure.statistics import Interval
from toolkit.measure.table import COLD, PHASES, Table, named, rows_per_s, shown_percentiles, tables_of

_POINTS = 80
_BREAK_EVEN_CALLS = 1e5


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
    return f"tfx-export bench: {', '.join(report.models)}" + (" (interrupted)" if report.interrupted else "")


def _charts(report: Report, model: str) -> list[str]:
    own = [found for found in report.measurements if found.key.model == model and found.timed]
    parts = []
    for setting in dict.fromkeys(replace(found.key, path="") for found in own):
        rows = [found for found in own if replace(found.key, path="") == setting]
        name = f"{model}, batch {setting.batch_size}, {setting.threads} threads"
        parts += [
            figure(f"Latency distributions: {name}", _distributions(rows)),
            _percentiles(report, rows, name),
            figure(f"Break-even: {name}", _break_even(report, rows)),
        ]
    return [
        *parts,
        figure(f"Throughput against batch: {model}", _throughput(report, own)),
        figure(f"Where a served call's time goes: {model}", _served(report, own)),
        figure(f"Cold start: {model}", _cold_starts(report, own), served_notes(own)),
    ]


def _distributions(rows: Sequence[Measurement]) -> str:
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


def _percentiles(report: Report, rows: Sequence[Measurement], name: str) -> str:
    """The middle, and p99 unless the effort asks for less."""
    wanted = (50.0, min(99.0, max(shown_percentiles(report.effort))))
    found: dict[str, dict[str, Interval]] = {}
    for row in rows:
        intervals = {f"p{one:g}": row.percentile_s(one) for one in wanted}
        found[row.key.path] = {one: interval for one, interval in intervals.items() if interval}
    return figure(f"{' and '.join(f'p{one:g}' for one in wanted)}: {name}", charts.bars(found, charts.SECONDS))


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


def _throughput(report: Report, rows: Sequence[Measurement]) -> str:
    curves: dict[str, list[tuple[float, float]]] = {}
    for found in sorted(rows, key=lambda row: row.key.batch_size):
        rate = rows_per_s(found)
        if rate is not None:
            curves.setdefault(named(report, found.key), []).append((found.key.batch_size, rate))
    if len({found.key.batch_size for found in rows}) < 2:
        return ""
    curves = {name: points for name, points in curves.items() if len(points) > 1}
    return charts.lines(curves, charts.Axis("rows of a call", charts.Text()), charts.Axis("rows/s", charts.Text()))


def _cold_starts(report: Report, rows: Sequence[Measurement]) -> str:
    found: dict[str, dict[str, float]] = {}
    for row in rows:  # one process takes all batch sizes: its start is told once
        found.setdefault(named(report, row.key), {part: row.cold_s[part] for part in COLD if part in row.cold_s})
    return charts.stacks(found, charts.SECONDS)


def _served(report: Report, rows: Sequence[Measurement]) -> str:
    found = {}
    for row in rows:
        medians = row.phase_medians_s()
        if medians:
            name = f"{named(report, row.key)}, batch {row.key.batch_size}"
            found[name] = {phase: medians[phase] for phase in PHASES if phase in medians}
    return charts.stacks(found, charts.SECONDS)


def _facts(model: str, facts: Mapping[str, Any]) -> str:
    """What is known of the model's graph."""
    rows = [(name, json.dumps(value, ensure_ascii=False)) for name, value in facts.get("trace", {}).items()]
    rows += [(f"bytes of {name}", f"{size:,}") for name, size in facts.get("artifacts", {}).items()]
    return table_html(Table(f"{model}: the graph", ("fact", "value"), tuple(rows))) if rows else ""
