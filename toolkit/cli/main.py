"""The command `tfx-export`: finds the verb, runs it, and turns its answer or error into output and an exit code."""

import contextlib
import functools
import importlib
import logging
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from toolkit import __version__
from toolkit.cli.output import Answer, Guard, Output, unexpected
from toolkit.cli.quiet import guard_streams
from toolkit.errors import ExitCode, ToolkitError, nearest

# One line each, here, so that --help imports no verb.
VERBS = {
    "build": "Export models, prove every artifact equal to the eager model, publish a bundle.",
    "verify": "Re-hash a bundle and replay its golden cases through every artifact.",
    "predict": "Ask a bundle, an artifact or an endpoint one question.",
    "bench": "Measure every path, from eager to served, in one table.",
    "compare": "Say which paths became faster or slower between two reports of bench or load.",
    "load": "Measure a served model's latency under load: open and closed loop, SLO search, curve.",
    "serve": "Serve bundles, or any SavedModels, over TensorFlow Serving's gRPC and REST APIs.",
    "deploy": "Publish a bundle to a serving root through a gate, with a way back.",
    "rollback": "Take the newest versions of a deployed model out again.",
    "promote": "Bring a withdrawn version back.",
    "versions": "List the versions of a deployed model.",
    "gc": "Remove old versions of a deployed model.",
    "render": "Write files for Docker Compose, Kubernetes or KServe, by measured figures.",
    "inspect": "Show what is inside an artifact and what it could do, without running it.",
    "trace": "Say why a model is traced, what runs at trace time only, and what Grappler makes of it.",
    "doctor": "Say what this machine can build, run, serve and measure, and what a model will need.",
    "models": "List what can be built.",
}


class Verbs(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs, in the order in which one meets them."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """The verb's command, with the options that every verb has."""
        if name not in VERBS:
            raise click.UsageError(f"there is no command '{name}'; {nearest(name, list(VERBS))}")
        return with_common_options(importlib.import_module(f"toolkit.cli.{name}").command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table of verbs, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))


def with_common_options(command: click.Command) -> click.Command:
    """Adds --json, -q and -v, and keeps stdout for the answer while the verb runs."""
    known = {option.name for option in command.params}
    if "verbose" in known:
        return command
    common = (
        (["--json"], "One JSON document on stdout."),
        (["-q", "--quiet"], "No progress."),
        (["-v", "--verbose"], "TensorFlow's own output too, and tracebacks."),
    )
    command.params += [
        click.Option(names, is_flag=True, expose_value=False, callback=_remember, help=text) for names, text in common
    ]
    verb = command.callback
    assert verb is not None

    @functools.wraps(verb)
    def answer(*args: Any, **kwargs: Any) -> Any:
        output: Output = click.get_current_context().find_root().obj
        with output.only_documents_on_stdout():
            return verb(*args, **kwargs)

    command.callback = answer
    return command


def _remember(ctx: click.Context, option: click.Parameter, value: bool) -> None:
    output: Output = ctx.find_root().obj
    assert option.name is not None
    setattr(output, option.name, value)


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="tfx-export")
def tfx_export() -> None:
    """From a TensorFlow model to proven artifacts, a server, and honest figures."""


def main(argv: list[str] | None = None) -> None:
    """Run the command line and end the process with its exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    code = run(arguments, guard=guard_streams)
    if _verb(arguments) == "serve":
        _end_at_once(code)
    sys.exit(code)


def _end_at_once(code: int) -> NoReturn:
    # A server has unloaded and closed everything by now. Taking down the interpreter after it, with all of TensorFlow
    # inside, takes two seconds on an idle machine and more on a busy one: whoever restarts a server waits for that, and
    # a thread that is still in a runtime's native code would turn exit code 0 into an abort.
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):  # nobody reads it any more
            stream.flush()
    os._exit(code)


def run(arguments: Sequence[str], guard: Guard | None = None) -> int:
    """The exit code of a command line; everything a user should see was written.

    Args:
        arguments: as typed, without the name of the program.
        guard: keeps native libraries off stdout; it may change the whole process.
    """
    output = Output(json="--json" in arguments, command=_verb(arguments), guard=guard)
    try:
        code = _run(arguments, output)
        output.flush()
    except BrokenPipeError:
        # The reader went away (`| head`): there is nobody to tell.
        output.abandon()
        return output.exit_code
    return code


def _verb(arguments: Sequence[str]) -> str:
    return next((word for word in arguments if not word.startswith("-")), "")


def _run(arguments: Sequence[str], output: Output) -> int:
    from toolkit.cli.settings import settings_for  # late: --help needs no settings

    try:
        asks_for_help = not {"-h", "--help"}.isdisjoint(arguments)
        defaults = settings_for(output.command) if output.command in VERBS and not asks_for_help else {}
        answer = tfx_export.main(
            list(arguments), prog_name="tfx-export", standalone_mode=False, obj=output, default_map=defaults
        )
        return output.show(answer) if isinstance(answer, Answer) else int(answer or 0)
    except click.exceptions.NoArgsIsHelpError as error:
        sys.stderr.write(f"{error.format_message()}\n")
        return ExitCode.BAD_INPUT
    except BrokenPipeError:
        raise
    except (Exception, KeyboardInterrupt, SystemExit) as error:  # noqa: BLE001  # a bug is said in one line, too
        return output.fail(_as_error(error))


def _as_error(error: BaseException) -> ToolkitError:
    if isinstance(error, ToolkitError):
        return error
    if isinstance(error, click.ClickException):
        command = getattr(getattr(error, "ctx", None), "command_path", "tfx-export")
        return _CommandLineError(error.format_message(), hint=f"`{command} --help` lists what it takes")
    if isinstance(error, click.Abort) and isinstance(error.__cause__, EOFError):  # for click, a user who left
        return unexpected(error.__cause__)
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return _InterruptedError("interrupted", hint="nothing half-written was left")
    return unexpected(error)


class _InterruptedError(ToolkitError):
    exit_code = ExitCode.INTERRUPTED


class _CommandLineError(ToolkitError):
    exit_code = ExitCode.BAD_INPUT


def command_of(name: str) -> Any:
    """The click command of a verb, for documentation tests."""
    return tfx_export.get_command(click.Context(tfx_export), name)


if __name__ == "__main__":
    main()
