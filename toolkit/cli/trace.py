"""`tfx-export trace`: a model in, what tracing and Grappler make of it out."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from toolkit.cli.output import Answer, Output

if TYPE_CHECKING:
    from toolkit.graphs.grappler import Optimized
    from toolkit.insight.tracing.report import SignatureTrace, TraceReport
    from toolkit.insight.tracing.retracing import Trace
    from toolkit.insight.tracing.running import Effect

_OPS_SHOWN = 4
_CAUSES_SHOWN = 2


@click.command(short_help="Say why a model is traced, and what became of its graph.")
@click.argument("model")
@click.option("--calls", type=click.Path(path_type=Path), help="A Python file whose calls(function) calls the model.")
@click.option("--signature", help="Only this one. [default: all]")
@click.option("--max-traces", type=click.IntRange(min=0), help="Exit with 6 where the calls make more traces.")
@click.option("--passes", is_flag=True, help="Measure what each of Grappler's passes is worth.")
@click.option(
    "--tensorboard", type=click.Path(path_type=Path), metavar="DIR", help="Graph and profile, for TensorBoard."
)
@click.option("--picture", type=click.Path(path_type=Path), metavar="FILE.html", help="The graph by layer, as a page.")
@click.option(
    "--import", "imports", multiple=True, metavar="MODULE", help="Import first: its Keras classes are known then."
)
@click.option("--unsafe-lambda", is_flag=True, help="Load Keras files with Lambda layers, which run Python code.")
@click.pass_obj
def command(output: Output, /, max_traces: int | None, **options: Any) -> Answer:
    """Call MODEL's function with its samples in several batch sizes and dtypes (or as --calls does) and look at it.

    Says how often it was traced, which argument caused each trace and what to write instead; what Python does only
    while tracing; what Grappler makes of the graph; where its ops run and what more threads give.
    """
    from toolkit.insight.tracing.tracing import TraceRequest, too_many, trace  # late: --help must not load TensorFlow

    report = trace(TraceRequest(**options))
    return Answer(report.to_json(), lambda screen: _show(screen, report), too_many(report, max_traces))


def _show(screen: Output, report: "TraceReport") -> None:
    for found in report.signatures:
        screen.line(f"{report.model} · {found.signature}")
        _show_traces(screen, found)
        _show_optimizer(screen, found.optimized)
        _show_running(screen, found)
        screen.line()
    for title, lines in (
        ("Python that runs at trace time only", report.side_effects),
        ("Python control flow that became graph ops", report.control_flow),
    ):
        screen.line(f"{title}: {'none' if not lines else ''}".rstrip())
        for line in lines:
            screen.line(f"  {line}")
    for place in report.written:
        screen.line(f"written: {place}")


def _show_traces(screen: Output, found: "SignatureTrace") -> None:
    if not found.calls:
        screen.line("  a SavedModel: traced already")
        return
    screen.line(f"  {len(found.traces)} traces in {found.calls} calls")
    told = ""
    for trace in found.traces:
        screen.line(f"    call {trace.call}  {trace.seconds * 1e3:7.1f} ms  {_reason(trace)}")
        if trace.advice and trace.advice != told:
            screen.line(f"            instead: {trace.advice}")
        told = trace.advice or told
    for failure in found.failures:
        screen.line(f"    refused: {failure}")


def _reason(trace: "Trace") -> str:
    """All of a few causes; a model of twenty inputs has them in --json."""
    more = len(trace.causes) - _CAUSES_SHOWN
    shown = "; ".join(trace.reason.split("; ")[:_CAUSES_SHOWN])
    return f"{shown}; and {more} more" if more > 0 else trace.reason


def _show_optimizer(screen: Output, found: "Optimized") -> None:
    before, after = found.constant_bytes
    screen.line(
        f"  graph: {found.ops[0]} ops, {found.ops[1]} after Grappler; "
        f"constants {before / 1e3:.1f} kB, then {after / 1e3:.1f} kB"
    )
    rows = []
    for done in found.passes:
        changes = sorted(done.changes.items(), key=lambda change: -abs(change[1]))
        text = ", ".join(f"{count:+d} {op}" for op, count in changes[:_OPS_SHOWN])
        text += f", {len(changes) - _OPS_SHOWN} more" if len(changes) > _OPS_SHOWN else ""
        removed = done.ops_after - done.ops_before
        rows.append((f"    {done.name}", f"{removed:+d}" if removed else "0", f"{done.seconds * 1e3:.2f} ms", text))
    screen.table(("    pass", "ops", "time", ""), rows, right=(1, 2))


def _show_running(screen: Output, found: "SignatureTrace") -> None:
    placed, path = found.placed, found.placed.parallelism
    screen.line(f"  placed: {', '.join(f'{count} ops on {device}' for device, count in placed.devices.items())}")
    screen.line(
        f"  parallel: {path.critical_ops} of {path.ops} ops wait for each other; "
        f"by time {path.factor:.1f} threads could be busy at most"
    )
    for effect in (found.threads, *found.passes):
        screen.line(f"  {'measured' if effect is found.threads else 'pass'}: {effect.name} {_worth(effect)}")


def _worth(effect: "Effect") -> str:
    found = effect.ratio
    if found is None:
        return "not measured"
    return f"{found.value:.2f} x as fast ({found.low:.2f} to {found.high:.2f}): {effect.verdict}"
