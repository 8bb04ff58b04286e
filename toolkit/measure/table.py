"""A report as rows of text: for the terminal, as Markdown, as CSV, and for the page."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from toolkit.measure.measurement import Key, Measurement
from toolkit.measure.notes import INTERRUPTED, UNMEASURED, counts, served_notes, speed_notes, standing
from toolkit.measure.plan import BASELINE, Effort, Threads
from toolkit.measure.report import Report
from toolkit.measure.statistics import Interval, samples_needed, verdict

PERCENTILES = (50.0, 90.0, 99.0, 99.9)
HEADINGS = (
    *("path", "p50", "p90", "p99", "p99.9", "rows/s", "times eager (99 %)", "break-even", "cold start"),
    *("memory", "verdict"),
)
NUMBERS = (1, 2, 3, 4, 5, 6, 7, 8, 9)
COLD = ("process", "import", "load", "trace", "first call")
PHASES = ("client encode", "network", "queue", "parse", "compute", "encode", "client decode")
# New ones at the end: who reads columns by their place goes on reading.
CSV_COLUMNS = (
    *("model", "path", "batch_size", "intra_threads", "inter_threads", "status", "reason", "samples"),
    *(f"p{wanted:g}_s" for wanted in PERCENTILES),
    *("rows_per_s", "speedup", "speedup_low", "speedup_high", "break_even_calls", "peak_bytes"),
    *(f"p{wanted:g}_{bound}_s" for wanted in PERCENTILES for bound in ("low", "high")),
    *("interrupted", "device", "server", "device_inputs"),
)
NOTHING, NEVER = "-", "never"


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
    if not tables and report.interrupted:
        return [Table("nothing was measured", HEADINGS, (), NUMBERS, (INTERRUPTED,))]
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


def shown_percentiles(effort: Effort) -> tuple[float, ...]:
    """Those that an effort shows: of --quick only what it asks for, else p99.9 too where the samples are enough."""
    return PERCENTILES if 99 in effort.percentiles else effort.percentiles


def _speed(report: Report, key: tuple[str, int, str], rows: Sequence[Measurement]) -> Table:
    model, batch_size, threads = key
    fastest = report.fastest(rows[0].key)
    return Table(
        f"{model}, batch {batch_size}, {threads} threads",
        HEADINGS,
        tuple(_row(report, found, marked=found is fastest) for found in rows),
        NUMBERS,
        speed_notes(report, rows),
    )


def _row(report: Report, found: Measurement, *, marked: bool) -> tuple[str, ...]:
    name = f"{found.key.path} *" if marked else found.key.path
    if not found.timed:
        word, why = standing(report, found)
        return (name, *[NOTHING] * (len(HEADINGS) - 2), f"{word} ({why})" if word == UNMEASURED else word)
    baseline, speedup = report.baseline_of(found), speedup_of(report, found)
    is_baseline = found.key.path == BASELINE
    rate = rows_per_s(found)
    return (
        name,
        *(_percentile(found, wanted, report.effort) for wanted in PERCENTILES),
        NOTHING if rate is None else f"{rate:,.0f}",
        _ratio(speedup),
        NOTHING if is_baseline or speedup is None else _calls(report.break_even(found)),
        readable_s(sum(found.cold_s.values())),
        f"{found.peak_bytes / 1e6:.0f} MB" if found.peak_bytes else NOTHING,
        "baseline" if is_baseline and counts(report, found) else _verdict(report, found, speedup, (BASELINE, baseline)),
    )


def rows_per_s(found: Measurement) -> float | None:
    """Throughput; None where the clock saw no time pass at all."""
    return found.rows_per_s if found.mean_s > 0 else None


def speedup_of(report: Report, found: Measurement) -> Interval | None:
    """As `Report.speedup`; None, too, where a round took no time that the clock could see."""
    baseline = report.baseline_of(found)
    return report.speedup(found) if baseline is not None and _comparable(baseline, found) else None


def _comparable(*rows: Measurement) -> bool:
    return all(np.median(part) > 0 for row in rows for part in row.rounds if len(part))


def _ratio(found: Interval | None) -> str:
    return f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]" if found else NOTHING


def _verdict(report: Report, found: Measurement, gain: Interval | None, beside: tuple[str, Measurement | None]) -> str:
    """Faster or slower than what stands beside it, and whether the figures of both count."""
    if not counts(report, found):
        return standing(report, found)[0]
    name, other = beside
    doubtful = other is not None and not counts(report, other)
    return f"{verdict(gain)} ({name} INVALID)" if doubtful else verdict(gain)


def _calls(count: int | None) -> str:
    return NEVER if count is None else "at once" if count == 1 else f"{count:,} calls"


def _percentile(found: Measurement, wanted: float, effort: Effort) -> str:
    if wanted not in shown_percentiles(effort):
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
            rows.append(_gain(report, "Grappler on", found, ("graph-plain", plain)))
        fewest = min((one for one in own if replace(one.key, threads=found.key.threads) == found.key), key=_threads)
        if fewest is not found:
            few = fewest.key.threads
            what = f"{found.key.threads} threads in place of {few}"
            rows.append(_gain(report, what, found, (f"{few} threads", fewest)))
    headings = ("what", "path", "batch", "times as fast (99 %)", "verdict")
    return Table(f"{model}: what it is worth", headings, tuple(rows), (2, 3))


def _threads(found: Measurement) -> Threads:
    return found.key.threads


def _gain(report: Report, what: str, found: Measurement, beside: tuple[str, Measurement]) -> tuple[str, ...]:
    without = beside[1]
    gain = found.times_as_fast_as(without) if _comparable(without, found) else None
    word = _verdict(report, found, gain, beside)
    return (what, found.key.path, str(found.key.batch_size), _ratio(gain), word)


def _cold(report: Report, model: str) -> Table:
    seen: dict[tuple[str, Threads], Measurement] = {}
    for found in report.measurements:
        if found.key.model == model and found.cold_s:
            seen.setdefault((found.key.path, found.key.threads), found)
    rows = (
        (
            named(report, found.key),
            *(_seconds(found.cold_s, part) for part in COLD),
            readable_s(sum(found.cold_s.values())),
            f"{warm.calls:,} calls, {readable_s(warm.elapsed_ns / 1e9)}" if (warm := found.warm_up) else NOTHING,
        )
        for found in seen.values()
    )
    headings = ("path", *COLD, "total", "warm-up after")
    notes = served_notes(tuple(seen.values()))
    return Table(f"{model}: cold start", headings, tuple(rows), tuple(range(1, 8)), notes)


def named(report: Report, key: Key) -> str:
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
            rows.append((named(report, found.key), str(found.key.batch_size), *cells, readable_s(found.median_s)))
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
    """One line a row, numbers in seconds and bytes, for a spreadsheet; what is not there is empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, CSV_COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    run = {name: report.settings.get(name, "") for name in ("device", "server", "device_inputs")}
    for found in report.measurements:
        key, (word, why) = found.key, standing(report, found)
        facts = {"model": key.model, "path": key.path, "batch_size": key.batch_size, "status": word, "reason": why}
        facts |= {"intra_threads": key.threads.intra, "inter_threads": key.threads.inter}
        facts |= {"samples": len(found.samples_ns), "peak_bytes": found.peak_bytes, "interrupted": report.interrupted}
        writer.writerow(facts | run | (_figures(report, found) if found.timed else {}))
    return text.getvalue()


def _figures(report: Report, found: Measurement) -> dict[str, object]:
    cells: dict[str, object] = {"rows_per_s": rows_per_s(found)}
    for wanted in shown_percentiles(report.effort):
        if interval := found.percentile_s(wanted):
            name = f"p{wanted:g}"
            cells |= {f"{name}_s": interval.value, f"{name}_low_s": interval.low, f"{name}_high_s": interval.high}
    if speedup := speedup_of(report, found):
        cells |= {"speedup": speedup.value, "speedup_low": speedup.low, "speedup_high": speedup.high}
        if found.key.path != BASELINE:
            calls = report.break_even(found)
            cells["break_even_calls"] = NEVER if calls is None else calls
    return cells
