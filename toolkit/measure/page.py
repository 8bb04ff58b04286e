"""A report as one self-contained HTML page: no request leaves it, and it has a light and a dark face."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from html import escape
from typing import Any

import numpy as np

from toolkit.measure import charts
from toolkit.measure.measurement import Measurement
from toolkit.measure.plan import BASELINE
from toolkit.measure.report import Report
from toolkit.measure.table import COLD, PHASES, Table, tables_of

_STYLE = """
:root { color-scheme: light dark; --ink: #1d2430; --paper: #fff; --soft: #667; --rule: #dde1e8; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ef; --paper: #14171c; --soft: #9aa3b2; --rule: #2c323c; } }
.tfx { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 1080px;
  margin: 0 auto; padding: 1rem; }
.tfx table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
.tfx .wide { overflow-x: auto; }
.tfx th, .tfx td { padding: 3px 10px; border-bottom: 1px solid var(--rule); text-align: left; white-space: nowrap; }
.tfx .right { text-align: right; }
.tfx .note, .tfx .facts { color: var(--soft); font-size: 13px; }
.tfx svg { width: 100%; max-width: 860px; font-size: 12px; }
.tfx svg text { fill: var(--ink); } .tfx .small { font-size: 10.5px; fill: var(--soft); }
.tfx .end { text-anchor: end; } .tfx .middle { text-anchor: middle; }
.tfx .grid { stroke: var(--rule); } .tfx .line { fill: none; stroke-width: 2; }
"""
_PALETTE = (
    *("#4c78a8", "#f58518", "#54a24b", "#e45756", "#72b7b2", "#b279a2"),
    *("#eeca3b", "#9d755d", "#8a8f98", "#d67195", "#2f9e8f", "#7b6fd0"),
)
_POINTS = 80
_BREAK_EVEN_CALLS = 1e5

Chart = Callable[[Report, Sequence[Measurement]], str]


def page(report: Report) -> str:
    """The whole document."""
    title = f"tfx-export bench: {', '.join(report.models)}"
    # An empty icon, or the browser asks a server for one.
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><link rel="icon" href="data:,">'
    head += '<meta name="viewport" content="width=device-width">'
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}</head><body style="margin:0">{fragment(report)}</body></html>\n'
    )


def fragment(report: Report) -> str:
    """What a page or a notebook shows."""
    colours = "".join(
        f".tfx .c{at} {{ fill: {colour}; }} .tfx .s{at} {{ stroke: {colour}; }}\n" for at, colour in enumerate(_PALETTE)
    )
    body = [f"<h1>tfx-export bench: {escape(', '.join(report.models))}</h1>", _machine(report)]
    body += [_table(table) for table in tables_of(report)]
    for model in report.models:
        body += _charts(report, model)
        body.append(_facts(model, report.models[model]))
    return f'<div class="tfx"><style>{_STYLE}{colours}</style>{"".join(body)}</div>'


def _charts(report: Report, model: str) -> list[str]:
    own = [found for found in report.measurements if found.key.model == model and found.timed]
    parts = []
    for setting in dict.fromkeys(replace(found.key, path="") for found in own):
        rows = [found for found in own if replace(found.key, path="") == setting]
        name = f"{model}, batch {setting.batch_size}, {setting.threads} threads"
        parts += [_figure(f"{title}: {name}", chart(report, rows)) for title, chart in _EACH.items()]
    parts += [_figure(f"{title}: {model}", chart(report, own)) for title, chart in _ALL.items()]
    return parts


def _figure(title: str, drawing: str) -> str:
    return f"<h2>{escape(title)}</h2><figure>{drawing}</figure>" if drawing else ""


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


def _table(table: Table) -> str:
    def cells(tag: str, texts: Sequence[str]) -> str:
        marks = (' class="right"' if at in table.right else "" for at in range(len(texts)))
        return "".join(f"<{tag}{mark}>{escape(text)}</{tag}>" for mark, text in zip(marks, texts, strict=True))

    rows = "".join(f"<tr>{cells('td', row)}</tr>" for row in table.rows)
    notes = "".join(f'<p class="note">{escape(note)}</p>' for note in table.notes)
    head = f"<thead><tr>{cells('th', table.headings)}</tr></thead>"
    return f'<h2>{escape(table.title)}</h2><div class="wide"><table>{head}<tbody>{rows}</tbody></table></div>{notes}'


def _machine(report: Report) -> str:
    facts = report.machine
    flat = {name: value for name, value in facts.items() if not isinstance(value, Mapping)}
    flat |= {"effort": report.effort.name, "measured": report.created}
    versions = facts.get("versions", {})
    text = "; ".join(f"{name}: {value}" for name, value in [*flat.items(), *versions.items()])
    return f'<p class="facts">{escape(text)}</p>'


def _facts(model: str, facts: Mapping[str, Any]) -> str:
    """What is known of the model's graph."""
    rows = [(name, json.dumps(value, ensure_ascii=False)) for name, value in facts.get("trace", {}).items()]
    rows += [(f"bytes of {name}", f"{size:,}") for name, size in facts.get("artifacts", {}).items()]
    return _table(Table(f"{model}: the graph", ("fact", "value"), tuple(rows))) if rows else ""
