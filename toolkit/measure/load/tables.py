"""A load report as rows of text: for the terminal, as Markdown, and for the page."""

from collections.abc import Mapping, Sequence

from toolkit.measure.load.point import CLIENT_DECODE, CLIENT_ENCODE, PERCENTILES, Point
from toolkit.measure.load.records import Numbers, Records
from toolkit.measure.load.report import LoadReport
from toolkit.measure.measurement import Status
from toolkit.measure.statistics import percentile, samples_needed
from toolkit.measure.table import NOTHING, Table, readable_s
from toolkit.serving.timing import PHASES

HEADINGS = (
    *("load", "latency", "p50", "p90", "p99", "p99.9", "max", "asked/s", "answered/s", "late", "errors"),
    *("client CPU", "verdict"),
)
WHERE = (CLIENT_ENCODE, "client wait", "network", *PHASES, CLIENT_DECODE)


def tables_of(report: LoadReport) -> list[Table]:
    """One table a target and batch size; then streams, where the time goes, what happened meanwhile, what was found."""
    tables = []
    settings = dict.fromkeys((one.shape.model, one.shape.protocol, one.shape.batch_size) for one in report.points)
    for model, protocol, rows in settings:
        points = [
            one
            for one in report.points
            if (one.shape.model, one.shape.protocol, one.shape.batch_size) == (model, protocol, rows)
        ]
        idle = report.machine.get("idle cores", "")
        tables.append(_latencies(f"{model} over {protocol}, batch {rows}", points, idle))
        own = (_streams(points), _where(points), _server(points), _events(points))
        tables += [found for found in own if found.rows]
    found = _found(report)
    return [*tables, found] if found.rows else tables


def _latencies(title: str, points: Sequence[Point], idle: str) -> Table:
    rows, notes = [], []
    for point in points:
        rows += _pair(point)
        status, why = point.status
        if status is not Status.VALID:
            notes.append(f"{point.shape.load} {status.value}: {why}")
        notes += [f"{point.shape.load}: {name}: {text:.160}" for name, text in point.words.items()]
        if point.lost:
            notes.append(f"{point.shape.load}: {point.lost} reconnects")
    costs = [point.cpu_us for point in points]
    clients = dict.fromkeys(point.client for point in points if point.client)
    by = f", sent by {' and '.join(clients)}" if clients else ""
    notes.append(f"client: {sum(costs) / len(costs):.0f} µs of processor time a request{by}")
    if idle:
        notes.append(f"idle cores {idle}")
    return Table(title, HEADINGS, tuple(rows), tuple(range(2, 12)), tuple(notes))


def _pair(point: Point) -> list[tuple[str, ...]]:
    """The corrected latencies, and for a rate the uncorrected ones below."""
    records, status = point.records, point.status[0]
    facts = (
        f"{records.rate_offered:,.1f}",
        f"{records.rate_achieved:,.1f}",
        f"{records.late_share:.2%}" if not point.shape.callers else NOTHING,
        f"{sum(records.errors.values()):,}" + (f" ({', '.join(records.errors)})" if records.errors else ""),
        f"{point.client_cpu:.0%}",
        status.value,
    )
    if point.shape.callers:
        return [(point.shape.load, "of a caller", *_times(records.corrected_ns), *facts)]
    callers = records.waiting_callers
    waiting = f"of {callers} who wait{'s' * (callers == 1)}"
    return [
        (point.shape.load, "corrected", *_times(records.corrected_ns), *facts),
        ("", f"uncorrected, {waiting}", *_times(records.uncorrected_ns), *[""] * len(facts)),
    ]


def _times(latencies_ns: Numbers) -> tuple[str, ...]:
    found = []
    for wanted in PERCENTILES:
        interval = percentile(latencies_ns, wanted)
        found.append(readable_s(interval.value / 1e9) if interval else f"n/a (needs {samples_needed(wanted)})")
    most = readable_s(float(latencies_ns.max()) / 1e9) if len(latencies_ns) else NOTHING
    return (*found, most)


def _streams(points: Sequence[Point]) -> Table:
    """Each model of mixed traffic by itself."""
    rows = []
    for point in points:
        if len(point.streams) < 2:
            continue
        for at, name in enumerate(point.streams):
            own = point.records.of_stream(at)
            errors = sum(own.errors.values())
            rows.append((point.shape.load, name, f"{len(own):,}", *_times(own.corrected_ns), f"{errors:,}"))
    headings = ("load", "model", "requests", "p50", "p90", "p99", "p99.9", "max", "errors")
    return Table("by model", headings, tuple(rows), tuple(range(2, 9)))


def _where(points: Sequence[Point]) -> Table:
    rows = []
    for point in points:
        for which, phases in (("median", point.medians_s()), ("slowest 1 %, mean", point.slowest_s())):
            if phases:
                rows.append((point.shape.load, which, *(_seconds(phases, name) for name in WHERE)))
    notes = ("client encode and decode were measured at rest: the workers send bytes and read none",)
    return Table(
        "where a request's time goes", ("load", "of", *WHERE), tuple(rows), tuple(range(2, 10)), notes if rows else ()
    )


def _server(points: Sequence[Point]) -> Table:
    """Means by the server's own counters."""
    names = list(dict.fromkeys(name for point in points for name in point.server_s))
    rows = [
        (point.shape.load, *(_seconds(point.server_s, name) for name in names), _padding(point)) for point in points
    ]
    headings = ("load", *names, "padding")
    notes = ("means, warm-up included; a histogram whose buckets grow by 1.8 gives no percentile",)
    shown = tuple(rows) if names else ()
    return Table("by the server's Prometheus counters", headings, shown, tuple(range(1, len(headings))), notes)


def _padding(point: Point) -> str:
    return NOTHING if point.padding is None else f"{point.padding:.0%}"


def _events(points: Sequence[Point]) -> Table:
    """Before, during and after what happened meanwhile."""
    rows, notes = [], []
    for point in points:
        if not point.events:
            continue
        for name, part in parts_of(point):
            rows.append(
                (point.shape.load, name, f"{len(part):,}", *_times(part.corrected_ns), f"{sum(part.errors.values()):,}")
            )
        notes += [f"{at:.2f} s: {what}" for at, what in point.events]
    headings = ("load", "when", "requests", "p50", "p90", "p99", "p99.9", "max", "errors")
    return Table("while it happened", headings, tuple(rows), tuple(range(2, 9)), tuple(notes))


def parts_of(point: Point) -> list[tuple[str, Records]]:
    """The records before the first event, until the last, and after it."""
    records = point.records
    first, last = (records.from_ns + int(at * 1e9) for at in (point.events[0][0], point.events[-1][0]))
    last = min(max(last, first + 1), records.until_ns)
    return [
        ("before", records.between(records.from_ns, first)),
        ("during", records.between(first, last)),
        ("after", records.between(last, records.until_ns)),
    ]


def _found(report: LoadReport) -> Table:
    rows = [(name, str(what["said"])) for name, what in report.found.items()]
    for one in report.found.get("batching", {}).get("tried", ()):
        padding = f", {one['padding']:.0%} padding" if one["padding"] is not None else ""
        rows.append((one["setting"], one["said"] + padding))
    return Table("found", ("what", "result"), tuple(rows))


def _seconds(parts: Mapping[str, float], name: str) -> str:
    found = parts.get(name)
    return NOTHING if found is None else readable_s(found)
