"""`tfx-export bench`: models in, one honest table from eager to served out."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from toolkit.cli.durations import DURATION
from toolkit.cli.endpoints import endpoint_options
from toolkit.cli.output import Answer, Output
from toolkit.cli.progress import Progressing
from toolkit.cli.reports import refuse_unwritable, show_tables, write_files
from toolkit.cli.verdicts import InterruptedMeasurementError, InvalidMeasurementError
from toolkit.errors import ToolkitError, UsageError

if TYPE_CHECKING:
    from toolkit.measure.report import Report

_FILE = click.Path(path_type=Path, dir_okay=False)
# What to do about a row that does not give what was asked for, by its status.
_REMEDIES = {
    "INVALID": "measure longer (--full), or on a quieter machine",
    "WRONG": "`tfx-export verify` asks the bundle's artifacts again, `tfx-export predict` a server",
    "UNAVAILABLE": "mend what keeps a path from running, or leave it out of --paths",
}
_EVERY_VERBS = {"json", "quiet", "verbose"}
_REACH = ("tls_ca", "tls_cert", "tls_key", "max_message_mb")


@click.command(short_help="Measure every path from eager to served.")
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option("--paths", help="Only these, as in graph,onnx,grpc; eager is always there. [default: all]")
@click.option("--batch", "batches", type=int, multiple=True, help="Rows of a call; may be repeated. [default: 1]")
@click.option("--threads", multiple=True, metavar="N|INTRAxINTER", help="May be repeated. [default: all cores]")
@click.option("--quick", is_flag=True, help="1 s a path, p50 and p90 only.")
@click.option("--full", is_flag=True, help="30 s a path by twelve processes, up to p99.9.")
@click.option("--max-seconds-per-path", type=DURATION, help="The cap of a slow path. [default: 60; quick 10, full 120]")
@click.option("--server", default="", metavar="HOST:PORT", help="Ask this server in place of our own; grpcs:// is TLS.")
@click.option("--device", default="", help="A TensorFlow device, as in GPU:0; copies to it count.")
@click.option("--device-inputs", is_flag=True, help="Inputs are tensors already: conversion is left out.")
@click.option("--signature", default="", help="Which signature. [default: serving_default]")
@click.option("--import", "imports", multiple=True, metavar="MODULE", help="Import first.")
@click.option("--unsafe-lambda", is_flag=True, help="Load Keras files with Lambda layers, which run Python code.")
@click.option("--markdown", type=_FILE, help="Write the tables to this file.")
@click.option("--csv", "csv_file", type=_FILE, help="Write one line a row to this file.")
@click.option("--report", type=_FILE, help="Write a self-contained HTML page to this file.")
@click.option("--strict", is_flag=True, help="End with 7 where a figure is not valid, or one asked for by name n/a.")
@click.option("--selftest", is_flag=True, help="Measure what is known, to see whether this machine can measure.")
@endpoint_options
@click.pass_obj
def command(output: Output, /, models: tuple[str, ...], selftest: bool, strict: bool, **options: Any) -> Answer:
    """Measure MODELs on every path: eager, graph forms, each artifact in its runtime, and served.

    Takes the newest bundle of each model, or builds it where its source has changed.
    """
    given = _given()
    if selftest:
        if models or given - {"selftest", *_EVERY_VERBS}:
            raise UsageError("--selftest measures what it knows itself", hint="tfx-export bench --selftest, alone")
        return _selftest(output)
    if not models:
        raise UsageError("which model?", hint="tfx-export bench mlp; `tfx-export models` lists them")
    if given & set(_REACH) and not options["server"]:
        raise UsageError("TLS files and --max-message-mb are for a given server", hint="--server grpcs://HOST:PORT")
    from toolkit.measure.bench import BenchRequest, measure  # late: --help must not load NumPy

    files = {name: options.pop(name) for name in ("markdown", "csv_file", "report")}
    request = BenchRequest(
        models=tuple(dict.fromkeys(models)),
        paths=_names(options.pop("paths")),
        batch_sizes=tuple(dict.fromkeys(options.pop("batches"))) or (1,),
        threads=_threads(options.pop("threads")),
        effort=_effort(options.pop("quick"), options.pop("full")),
        verbose=output.verbose,
        **options,
    )
    refuse_unwritable(files.values())
    with _TimeLeft(output) as bar:
        report = measure(request, bar.tell)
    unwritten = _write(report, files)

    def show(screen: Output) -> None:
        from toolkit.measure.table import tables_of

        show_tables(screen, tables_of(report))

    return Answer(report.to_json(), show, _complaint(report, strict=strict) or unwritten)


def _given() -> set[str]:
    """The names of the options that stand on the command line; the project's settings are for every verb."""
    context = click.get_current_context()
    on_line = click.core.ParameterSource.COMMANDLINE
    options = (option for option in context.command.params if isinstance(option, click.Option))
    names = {str(option.name) for option in options}
    return {name for name in names if context.get_parameter_source(name) is on_line}


def _complaint(report: "Report", *, strict: bool) -> ToolkitError | None:
    if report.interrupted:
        return InterruptedMeasurementError("interrupted", hint="what was measured so far is shown")
    if strict and report.unmet:
        kinds = dict.fromkeys(status.name for _, status, _ in report.unmet)
        return InvalidMeasurementError("; ".join(report.invalid), hint="; ".join(_REMEDIES[kind] for kind in kinds))
    return None


def _selftest(output: Output) -> Answer:
    from toolkit.measure.selftest import run_selftest  # late: likewise

    with _TimeLeft(output) as bar:
        findings = run_selftest(bar.tell)

    def show(screen: Output) -> None:
        rows = [(found.name, found.said, "ok" if found.passed else "FAILED") for found in findings]
        screen.table(("selftest", "found", "verdict"), rows)

    failed = [found.name for found in findings if not found.passed]
    error = (
        InvalidMeasurementError(f"this machine does not measure well: {', '.join(failed)}", hint="is it busy?")
        if failed
        else None
    )
    return Answer([vars(found) for found in findings], show, error)


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())


def _effort(quick: bool, full: bool) -> str:
    if quick and full:
        raise UsageError("--quick and --full exclude each other", hint="leave one out")
    return "quick" if quick else "full" if full else "normal"


def _threads(texts: tuple[str, ...]) -> tuple[Any, ...]:
    from toolkit.measure.plan import Threads

    found = []
    for text in texts:
        match = re.fullmatch(r"([1-9]\d{0,3})(?:x([1-9]\d{0,3}))?", text)
        if match is None:
            raise UsageError(f"'{text}' is no number of threads", hint="--threads 2, or 2x1 for intra- and inter-op")
        found.append(Threads(int(match[1]), int(match[2] or match[1])))
    return tuple(dict.fromkeys(found))


def _write(report: "Report", files: dict[str, Path | None]) -> ToolkitError | None:
    from toolkit.measure.page import page
    from toolkit.measure.table import tables_of, to_csv, to_markdown

    writers = {
        "markdown": lambda: to_markdown(tables_of(report)),
        "csv_file": lambda: to_csv(report),
        "report": lambda: page(report),
    }
    return write_files(files, writers)


class _TimeLeft(Progressing):
    """Progress with the time left."""

    def __init__(self, output: Output) -> None:
        super().__init__(output)
        self._last = ""

    def tell(self, what: str, done_s: float, total_s: float) -> None:
        """Something new is done; both times are guesses."""
        left = max(0.0, total_s - done_s)
        # A line a round and path would be hundreds: one for each kind of work is enough to follow.
        kind = what.rpartition(" ")[0]
        if not self.advance(f"{what}, {left:.0f} s left", done_s, total_s or None) and kind != self._last:
            self._last = kind
            self.write(f"{self.elapsed} {what}" + (f", about {left:.0f} s left" if total_s else ""))
