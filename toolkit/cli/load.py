"""`tfx-export load`: a served model in, its latency under load out, honest about what a client would hide."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from toolkit.cli.durations import DURATION
from toolkit.cli.endpoints import endpoint_options
from toolkit.cli.live import LiveLoad
from toolkit.cli.output import Answer, Output
from toolkit.cli.reports import refuse_unwritable, show_tables, write_files
from toolkit.cli.verdicts import InterruptedMeasurementError, InvalidMeasurementError
from toolkit.errors import DeployError, ToolkitError, UnavailableError, UsageError

if TYPE_CHECKING:
    from toolkit.measure.load.report import LoadReport

_FILE = click.Path(path_type=Path, dir_okay=False)


class _Numbers(click.ParamType):  # type: ignore[type-arg]  # older releases of click cannot subscript it
    """Numbers with commas between: `1,4,16`."""

    name = "numbers"

    def __init__(self, kind: type) -> None:
        self._kind = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Any, ...]:
        """`1,4` as (1, 4)."""
        try:
            return tuple(self._kind(part) for part in str(value).split(",") if part.strip())
        except ValueError:
            self.fail(f"'{value}' is no list of numbers; write 1,4,16", param, ctx)


class _Slo(click.ParamType):  # type: ignore[type-arg]  # likewise
    """A limit: `p99=20ms`."""

    name = "slo"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, float]:
        """`p99=20ms` as ("p99", 0.02)."""
        name, mark, limit = str(value).partition("=")
        if not mark:
            self.fail(f"'{value}' is no limit; write p99=20ms", param, ctx)
        return name.strip(), DURATION.convert(limit, param, ctx)


@click.command(short_help="Measure a served model's latency under load.")
@click.argument("targets", nargs=-1, metavar="TARGET...")
@click.option("--rate", "rates", type=_Numbers(float), default="", help="Open loop: requests a second, as in 50,200.")
@click.option("--arrival", default="constant", show_default=True, help="constant, poisson, or FILE.csv of moments.")
@click.option("--concurrency", "callers", type=_Numbers(int), default="",
              help="Closed loop: callers who wait for each answer. [default: 1,4,16]")  # fmt: skip
@click.option("--slo", type=_Slo(), metavar="pN=TIME", help="Find the highest rate that holds it; with --rate a gate.")
@click.option("--curve", is_flag=True, help="Throughput against latency up to what the server can do, with its knee.")
@click.option("--batch", "batch_sizes", type=_Numbers(int), default="", help="Rows of a request, as in 1,8.")
@click.option(
    "--payload", multiple=True, metavar="[MODEL=]FILE", help="Feeds from an .npz or .jsonl. [default: golden]"
)
@click.option("--weights", type=_Numbers(float), default="", help="Of each TARGET in mixed traffic, as in 3,1.")
@click.option("--signature", default="", help="Which signature. [default: serving_default]")
@click.option("--duration", "duration_s", type=DURATION, default="10s", show_default=True, help="Of each run.")
@click.option("--requests", type=int, help="The most that each run counts.")
@click.option("--warm-up", "warm_up_s", type=DURATION, default="1s", show_default=True, help="Before counting begins.")
@click.option("--timeout", "timeout_s", type=DURATION, default="10s", show_default=True, help="Of one request.")
@click.option("--during", default="", help="swap or load: a new version, or a second model, in the middle of a run.")
@click.option("--sweep", default="", help="batching: try parameters of the server against the SLO or rate.")
@click.option("--over", default="grpc", show_default=True, help="grpc, rest or unix, where TARGET is a bundle.")
@click.option("--runtime", default="saved_model", show_default=True, help="Of the server, where TARGET is a bundle.")
@click.option("--serve-flag", "flags", multiple=True, help="A further flag of `tfx-export serve`, for a bundle.")
@click.option("--metrics", "metrics_url", default="", metavar="URL", help="The server's Prometheus page.")
@click.option("--workers", type=int, default=0, help="Load processes. [default: one for 2000 requests/s]")
@click.option("--connections", type=int, default=0, help="Of each worker. [default: 1 for gRPC, up to 256 for REST]")
@click.option("--seed", type=int, default=20261122, show_default=True, help="Of arrivals and choices.")
@click.option("--let-sleep", is_flag=True, help="Let idle cores sleep, as they may in production. [default: awake]")
@click.option("--allow-remote", is_flag=True, help="Load another machine than this one.")
@click.option("--import", "imports", multiple=True, metavar="MODULE", help="Import first, to build a model.")
@click.option("--mlperf", default="", metavar="SCENARIO", help="SingleStream or Server, by mlcommons-loadgen itself.")
@click.option("--mlperf-logs", type=click.Path(path_type=Path, file_okay=False), help="Where LoadGen's logs go.")
@click.option("--markdown", type=_FILE, help="Write the tables to this file.")
@click.option("--hdr-log", type=_FILE, help="Write an HdrHistogram log to this file, a line a second.")
@click.option("--report", type=_FILE, help="Write a self-contained HTML page to this file.")
@click.option("--strict", is_flag=True, help="End with 7 where a figure is not valid.")
@endpoint_options
@click.pass_obj
def command(output: Output, /, targets: tuple[str, ...], strict: bool, **options: Any) -> Answer:
    """Load TARGET: grpc://HOST:PORT/MODEL[:SIGNATURE], http://..., unix:///SOCKET/MODEL, a bundle or a model.

    Several TARGETs are mixed traffic. A bundle or model is served first, by `tfx-export serve` in a process of its own.
    """
    if not targets:
        raise UsageError("what is to be loaded?", hint="tfx-export load mlp, or grpc://HOST:PORT/MODEL")
    mlperf = {name: options.pop(name) for name in ("mlperf", "mlperf_logs")}
    files = {name: options.pop(name) for name in ("markdown", "hdr_log", "report")}
    refuse_unwritable(files.values())
    request = _request(targets, options, verbose=output.verbose)
    if mlperf["mlperf"]:
        return _mlperf(request, **mlperf)
    from toolkit.measure.load.session import measure_load  # late: --help must not load NumPy

    with LiveLoad(output) as live:
        report = measure_load(request, live.say, live.watch)
    unwritten = _write(report, files)

    def show(screen: Output) -> None:
        from toolkit.measure.load.tables import tables_of

        show_tables(screen, tables_of(report))

    return Answer(report.to_json(), show, _complaint(report, strict=strict) or unwritten)


def _request(targets: tuple[str, ...], options: dict[str, Any], *, verbose: bool) -> Any:
    from toolkit.cli.feeds import read_feeds
    from toolkit.measure.load.request import LoadRequest
    from toolkit.measure.load.targets import Serving

    serving = Serving(options.pop("over"), options.pop("runtime"), options.pop("flags"))
    feeds: dict[str, list[Any]] = {}
    for text in options.pop("payload"):
        model, mark, file = text.partition("=")
        feeds.setdefault(model if mark else "", []).extend(read_feeds(Path(file if mark else text)))
    options["slo"] = options["slo"] or None
    return LoadRequest(targets=targets, serving=serving, feeds=feeds, verbose=verbose, **options)


def _complaint(report: "LoadReport", *, strict: bool) -> ToolkitError | None:
    if report.interrupted:
        return InterruptedMeasurementError("interrupted", hint="what was measured so far is shown")
    if report.points and not any(len(point.corrected_ns) for point in report.points):
        return UnavailableError(report.points[0].status[1], hint="is the server up?")
    slo = report.found.get("slo", {})
    if slo.get("broken") or ("rate" in slo and slo["rate"] is None):
        return DeployError(str(slo["said"]), hint=f"the limit is {slo['limit']}")
    if strict and report.invalid:
        return InvalidMeasurementError(
            "; ".join(report.invalid), hint="load less, from more workers, or from another machine"
        )
    return None


def _mlperf(request: Any, mlperf: str, mlperf_logs: Path | None) -> Answer:
    from toolkit.measure.load.mlperf import run_mlperf  # late: an extra

    found = run_mlperf(request, mlperf, mlperf_logs)

    def show(screen: Output) -> None:
        screen.table(("LoadGen says", ""), list(found.rows()))
        screen.line(f"logs: {found.logs}")

    error = None if found.valid else InvalidMeasurementError(f"LoadGen: {found.reason}", hint=f"see {found.logs}")
    return Answer(found.to_json(), show, error)


def _write(report: "LoadReport", files: dict[str, Path | None]) -> ToolkitError | None:
    from toolkit.measure.load.page import page
    from toolkit.measure.load.tables import tables_of
    from toolkit.measure.table import to_markdown

    writers = {
        "markdown": lambda: to_markdown(tables_of(report)),
        "hdr_log": report.hdr_log,
        "report": lambda: page(report),
    }
    return write_files(files, writers)
