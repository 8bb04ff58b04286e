"""`tfx-export serve`: bundles, or whatever TensorFlow Serving's flags name, behind gRPC and REST."""

import gc
import json
import logging
import signal
import sys
import threading
from typing import Any

import click

from toolkit import __version__
from toolkit.cli.durations import DURATION
from toolkit.cli.output import Answer, Output
from toolkit.cli.signals import Ended, end_on_signals
from toolkit.serving.core_listener import choose_polled_sockets
from toolkit.serving.flags import FLAGS, Flag, Kind, explicit_bools, in_vain
from toolkit.serving.transport import PUBLIC

_TYPES: dict[Kind, Any] = {
    Kind.BOOL: click.BOOL,
    Kind.INT: click.INT,
    Kind.FLOAT: click.FLOAT,
    Kind.TEXT: click.STRING,
    Kind.SECONDS: DURATION,
}


class _Serve(click.Command):
    """A command that takes flags as TensorFlow Serving does: `--b`, `--b=false`, `--f=v`, `--f v`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Reads the arguments."""
        return super().parse_args(ctx, explicit_bools(args))


def _option(flag: Flag) -> click.Option:
    return click.Option(
        [f"--{flag.name}"],
        type=_TYPES[flag.kind],
        default=flag.default,
        show_default=flag.default not in (None, "") and not flag.idle,
        help=f"Accepted and left alone: {flag.idle}." if flag.idle else flag.help,
    )


def _command(target: str | None, **values: Any) -> Answer | int:
    """Serve TARGET: a model of models/, exported/, a bundle, or a folder of SavedModel versions.

    Without TARGET the flags of tensorflow_model_server say what to serve. When everything answers, one JSON line on
    stdout says on which ports. SIGTERM ends it with exit code 0: what is in flight is answered first. Ctrl-C does the
    same; before the ready line its exit code is 130. A second signal ends it at once, with 130.
    """
    context = click.get_current_context()
    output: Output = context.find_root().obj
    if values.pop("version"):
        output.line(__version__)
        return 0
    end_on_signals()
    _log(output)
    _warn_in_vain(context)
    ready = False
    try:
        if values["transport"] != PUBLIC:
            choose_polled_sockets()  # before anything else loads grpcio
        from toolkit.serving.embedded import ServeRequest, serve  # late: --help must not load NumPy

        given = {name: value for name, value in values.items() if value is not None}
        with serve(target, ServeRequest(flags=given, report=_told(output))) as serving:
            # What libraries made never becomes garbage. Left out, a collection takes 1 ms and not 150, in which nobody
            # is answered, and comes often enough for the graphs of versions that ended, which hold themselves by
            # cycles.
            gc.collect()
            gc.freeze()
            ready = True  # who reads the line may send a signal at once
            output.line(json.dumps(serving.ready.to_json()))
            output.flush()
            threading.Event().wait()
    except Ended as ended:
        # Who sends SIGTERM wants it to end, which is no failure, whenever it comes.
        if not ready and ended.number is signal.SIGINT:
            raise
    return 0


def _told(output: Output) -> Any:
    def tell(model: str, step: str) -> None:
        if not output.quiet:
            sys.stderr.write(f"{model}: {step}\n")

    return tell


def _log(output: Output) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger = logging.getLogger("toolkit")
    logger.addHandler(handler)
    logger.setLevel(logging.ERROR if output.quiet else logging.INFO if output.verbose else logging.WARNING)


def _warn_in_vain(context: click.Context) -> None:
    typed = click.core.ParameterSource.COMMANDLINE
    given = {flag.field for flag in FLAGS if context.get_parameter_source(flag.field) is typed}
    for flag, why in in_vain(given, context.params):
        sys.stderr.write(f"warning: --{flag.name} changes nothing here: {why}\n")


command = _Serve(
    "serve",
    callback=_command,
    params=[click.Argument(["target"], required=False), *map(_option, FLAGS)],
    help=_command.__doc__,
    short_help="Serve models over TensorFlow Serving's APIs.",
)
