"""What stands below a report's tables: why figures do not count, what was left out, what one must know of the run."""

from collections.abc import Sequence

from toolkit.measure.awake import ASLEEP
from toolkit.measure.measurement import Measurement, Status
from toolkit.measure.plan import SERVED
from toolkit.measure.report import Report

UNMEASURED = "not measured"
INTERRUPTED = "interrupted: these are the figures of the time until then"


def standing(report: Report, found: Measurement) -> tuple[str, str]:
    """What became of a row, and why; a path that an interruption left no time was not even begun."""
    if report.interrupted and not (found.absent or found.problem or len(found.samples_ns)):
        return UNMEASURED, "interrupted"
    status, why = found.status(report.effort)
    return status.value, why


def counts(report: Report, found: Measurement) -> bool:
    """Whether its figures count."""
    return found.status(report.effort)[0] is Status.VALID


def speed_notes(report: Report, rows: Sequence[Measurement]) -> tuple[str, ...]:
    """Those of one model, batch size and thread setting."""
    notes = [INTERRUPTED] if report.interrupted else []
    if report.fastest(rows[0].key):
        notes.append("fastest (*): the least p50 of all paths whose answers are right and whose figures count")
    standings = ((found.key.path, *standing(report, found)) for found in rows)
    notes += [f"{path} {word}: {why}" for path, word, why in standings if why and word != UNMEASURED]
    notes += [f"{found.key.path}: {found.caveat}" for found in rows if found.caveat]
    return (*notes, *_samples(report, rows), *_settings(report, rows), *_shared(report, rows), *served_notes(rows))


def _samples(report: Report, rows: Sequence[Measurement]) -> list[str]:
    notes = []
    processes = report.settings.get("processes", 1)  # reports of before do not say
    few = [found.key.path for found in rows if found.timed and found.workers < processes]
    if few and not report.interrupted:
        notes.append(f"fewer than {processes} processes, for want of memory or time: {', '.join(few)}")
    kept = sum(found.outliers for found in rows)
    if kept:
        notes.append(f"{kept} outliers of {sum(len(found.samples_ns) for found in rows)} samples kept")
    return notes


def _settings(report: Report, rows: Sequence[Measurement]) -> list[str]:
    notes = []
    if report.effort.starts_together:
        notes.append("cold starts: two processes at a time, slower than alone")
    if report.machine.get("idle cores") == ASLEEP:
        notes.append(
            "idle cores may sleep, so a call that wakes a thread takes now longer, now shorter (docs/measuring.md)"
        )
    if device := report.settings.get("device"):
        notes.append(f"TensorFlow's paths ran on {device}, copies to it and back counted")
    if report.settings.get("device_inputs"):
        notes.append("inputs were tensors already where a path takes them: their conversion is not counted")
    if server := report.settings.get("server"):
        paths = _served(rows)
        notes += [f"{', '.join(paths)}: answered by the server at {server}"] if paths else []
    return notes


def _shared(report: Report, rows: Sequence[Measurement]) -> list[str]:
    """One process measures a path at all its batch sizes, so that these have some figures in common."""
    model = rows[0].key.model
    first, *others = dict.fromkeys(found.key.batch_size for found in report.measurements if found.key.model == model)
    if not others or not any(found.cold_s for found in rows):
        return []
    later = ", ".join(map(str, others))
    return [f"cold start, break-even and memory: of processes called with batch {first} first, then with {later}"]


def served_notes(rows: Sequence[Measurement]) -> tuple[str, ...]:
    """Whose cold start and memory those of served paths are; nothing without such a path."""
    paths = _served(rows)
    if not paths:
        return ()
    known = any(found.peak_bytes for found in rows if found.key.path in paths)
    memory = "; the memory is the server's" if known else ""
    return (f"{', '.join(paths)}: the cold start is the client's, of a server that runs already{memory}",)


def _served(rows: Sequence[Measurement]) -> list[str]:
    return list(dict.fromkeys(found.key.path for found in rows if found.key.path in SERVED and found.cold_s))
