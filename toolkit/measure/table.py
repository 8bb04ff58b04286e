"""A report as rows of text: for the terminal, as Markdown, as CSV, and for the page."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from toolkit.measure.awake import ASLEEP
from toolkit.measure.measurement import Key, Measurement, Status
from toolkit.measure.plan import Threads
from toolkit.measure.report import Report
from toolkit.measure.statistics import ratio, samples_needed, verdict

PERCENTILES = (50.0, 90.0, 99.0, 99.9)
HEADINGS = (
    *("path", "p50", "p90", "p99", "p99.9", "rows/s", "times eager (99 %)", "break-even", "cold start"),
    *("memory", "verdict"),
)
NUMBERS = (1, 2, 3, 4, 5, 6, 7, 8, 9)
COLD = ("process", "import", "load", "trace", "first call")
PHASES = ("client encode", "network", "queue", "parse", "compute", "encode", "client decode")
NOTHING = "-"


@dataclass(frozen=True)
class Table:
    """Rows of text under headings; columns in `right` are numbers."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    right: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()


def tables_of(report: Report) -> list[Table]:
    """One table a model, batch size and thread setting; then cold starts, and where the time of served calls goes."""
    tables = []
    for key in _settings(report):
        rows = [found for found in report.measurements if _setting(found.key) == key]
        tables.append(_speed(report, key, rows))
    for model in report.models:
        tables += [
            found for found in (_gains(report, model), _cold(report, model), _served(report, model)) if found.rows
        ]
    return tables


def readable_s(seconds: float) -> str:
    """0.00012 as `120 µs`, with three digits."""
    for limit, factor, unit in ((1e-3, 1e6, "µs"), (1.0, 1e3, "ms")):
        if seconds < limit:
            return f"{_three_digits(seconds * factor)} {unit}"
    return f"{_three_digits(seconds)} s"


def _three_digits(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _setting(key: Key) -> tuple[str, int, str]:
    return key.model, key.batch_size, str(key.threads)


def _settings(report: Report) -> list[tuple[str, int, str]]:
    return list(dict.fromkeys(_setting(found.key) for found in report.measurements))


def _speed(report: Report, key: tuple[str, int, str], rows: Sequence[Measurement]) -> Table:
    model, batch_size, threads = key
    fastest = report.fastest(rows[0].key)
    notes = [
        f"{found.key.path} {status.value}: {why}"
        for found in rows
        for status, why in [found.status(report.effort)]
        if why
    ]
    notes += [f"{found.key.path}: {found.caveat}" for found in rows if found.caveat]
    processes = report.settings.get("processes", 1)  # reports of before do not say
    few = [found.key.path for found in rows if found.timed and found.workers < processes]
    if few and not report.interrupted:
        notes.append(f"fewer than {processes} processes, for want of memory or time: {', '.join(few)}")
    kept = sum(found.outliers for found in rows)
    if kept:
        notes.append(f"{kept} outliers of {sum(len(found.samples_ns) for found in rows)} samples kept")
    if report.effort.starts_together:
        notes.append("cold starts: two processes at a time, slower than alone")
    if report.machine.get("idle cores") == ASLEEP:
        notes.append(
            "idle cores may sleep, so a call that wakes a thread takes now longer, now shorter (docs/measuring.md)"
        )
    if report.settings.get("device_inputs"):
        notes.append("inputs were tensors already where a path takes them: their conversion is not counted")
    return Table(
        f"{model}, batch {batch_size}, {threads} threads",
        HEADINGS,
        tuple(_row(report, found, marked=found is fastest) for found in rows),
        NUMBERS,
        tuple(notes),
    )


def _row(report: Report, found: Measurement, *, marked: bool) -> tuple[str, ...]:
    status, _ = found.status(report.effort)
    name = f"{found.key.path} *" if marked else found.key.path
    if not found.timed:
        return (name, *[NOTHING] * (len(HEADINGS) - 2), status.value)
    speedup = report.speedup(found)
    calls = report.break_even(found)
    word = {Status.VALID: verdict(speedup) if found.key.path != "eager" else "baseline"}.get(status, status.value)
    baseline = report.baseline_of(found)
    if status is Status.VALID and baseline is not None and baseline.status(report.effort)[0] is not Status.VALID:
        word = f"{word} (eager INVALID)" if baseline is not found else word
    return (
        name,
        *(_percentile(found, wanted, report.effort.percentiles) for wanted in PERCENTILES),
        f"{found.rows_per_s:,.0f}",
        f"{speedup.value:.2f} [{speedup.low:.2f}, {speedup.high:.2f}]" if speedup else NOTHING,
        NOTHING if found.key.path == "eager" or speedup is None else _calls(calls),
        readable_s(sum(found.cold_s.values())),
        f"{found.peak_bytes / 1e6:.0f} MB" if found.peak_bytes else NOTHING,
        word,
    )


def _calls(count: int | None) -> str:
    return "never" if count is None else "at once" if count == 1 else f"{count:,} calls"


def _percentile(found: Measurement, wanted: float, asked: Sequence[float]) -> str:
    if wanted not in asked and len(asked) == 2:  # --quick shows p50 and p90 only
        return NOTHING
    interval = found.percentile_s(wanted)
    return readable_s(interval.value) if interval else f"n/a (needs {samples_needed(wanted)})"


def _gains(report: Report, model: str) -> Table:
    """What Grappler and more threads are worth, each against the same path without."""
    rows = []
    own = [found for found in report.measurements if found.key.model == model and found.timed]
    for found in own:
        plain = report.find(replace(found.key, path="graph-plain"))
        if found.key.path == "graph" and plain is not None and plain.timed:
            rows.append(_gain("Grappler on", found, plain))
        fewest = min((one for one in own if replace(one.key, threads=found.key.threads) == found.key), key=_threads)
        if fewest is not found:
            rows.append(_gain(f"{found.key.threads} threads in place of {fewest.key.threads}", found, fewest))
    headings = ("what", "path", "batch", "times as fast (99 %)", "verdict")
    return Table(f"{model}: what it is worth", headings, tuple(rows), (2, 3))


def _threads(found: Measurement) -> Threads:
    return found.key.threads


def _gain(what: str, found: Measurement, without: Measurement) -> tuple[str, ...]:
    gain = ratio(without.rounds, found.rounds)
    text = f"{gain.value:.2f} [{gain.low:.2f}, {gain.high:.2f}]" if gain else NOTHING
    return (what, found.key.path, str(found.key.batch_size), text, verdict(gain))


def _cold(report: Report, model: str) -> Table:
    seen: dict[tuple[str, Threads], Measurement] = {}
    for found in report.measurements:
        if found.key.model == model and found.cold_s:
            seen.setdefault((found.key.path, found.key.threads), found)
    rows = (
        (
            _named(report, found.key),
            *(_seconds(found.cold_s, part) for part in COLD),
            readable_s(sum(found.cold_s.values())),
            f"{warm.calls:,} calls, {readable_s(warm.elapsed_ns / 1e9)}" if (warm := found.warm_up) else NOTHING,
        )
        for found in seen.values()
    )
    return Table(f"{model}: cold start", ("path", *COLD, "total", "warm-up after"), tuple(rows), tuple(range(1, 8)))


def _named(report: Report, key: Key) -> str:
    """The path, and its threads where several settings were measured."""
    several = len({found.key.threads for found in report.measurements}) > 1
    return f"{key.path}, {key.threads} threads" if several else key.path


def _seconds(parts: Mapping[str, float], name: str) -> str:
    return readable_s(parts[name]) if name in parts else NOTHING


def _served(report: Report, model: str) -> Table:
    rows = []
    for found in report.measurements:
        medians = found.phase_medians_s()
        if found.key.model == model and medians and found.timed:
            cells = (_seconds(medians, phase) for phase in PHASES)
            rows.append((_named(report, found.key), str(found.key.batch_size), *cells, readable_s(found.median_s)))
    headings = ("path", "batch", *PHASES, "call")
    return Table(f"{model}: where a served call's time goes (medians)", headings, tuple(rows), tuple(range(1, 10)))


def to_markdown(tables: Sequence[Table]) -> str:
    """GitHub's tables."""
    parts = []
    for table in tables:
        marks = ("---:" if at in table.right else "---" for at in range(len(table.headings)))
        lines = [table.headings, tuple(marks), *table.rows]
        parts.append(f"### {table.title}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n")
        parts += [f"- {note}" for note in table.notes]
        parts.append("")
    return "\n".join(parts)


def to_csv(report: Report) -> str:
    """One line a row, numbers in seconds and bytes, for a spreadsheet."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    percentiles = [f"p{wanted:g}_s" for wanted in PERCENTILES]
    head = (
        "model",
        "path",
        "batch_size",
        "intra_threads",
        "inter_threads",
        "status",
        "reason",
        "samples",
        *percentiles,
    )
    writer.writerow((*head, "rows_per_s", "speedup", "speedup_low", "speedup_high", "break_even_calls", "peak_bytes"))
    for found in report.measurements:
        key, (status, reason) = found.key, found.status(report.effort)
        cells: list[object] = [""] * (len(PERCENTILES) + 5)
        if found.timed:
            intervals = [found.percentile_s(wanted) for wanted in PERCENTILES]
            speedup = report.speedup(found)
            bounds = (speedup.value, speedup.low, speedup.high) if speedup else ("", "", "")
            cells = [
                *(one.value if one else "" for one in intervals),
                found.rows_per_s,
                *bounds,
                report.break_even(found),
            ]
        threads = (key.threads.intra, key.threads.inter)
        facts = (key.model, key.path, key.batch_size, *threads, status.value, reason, len(found.samples_ns))
        writer.writerow((*facts, *cells, found.peak_bytes))
    return text.getvalue()
