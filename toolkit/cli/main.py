"""The command `tfx-export`: finds the verb, runs it, and turns its answer or error into output and an exit code."""

import functools
import importlib
import os
import sys
from typing import Any

import click

from toolkit import __version__
from toolkit.cli.output import Answer, Output
from toolkit.cli.quiet import quiet_libraries
from toolkit.errors import ExitCode, ToolkitError, nearest

# One line each, here, so that --help imports no verb.
VERBS = {
    "build": "Export models, prove every artifact equal to the eager model, publish a bundle.",
    "verify": "Re-hash a bundle and replay its golden cases through every artifact.",
    "predict": "Ask a bundle, an artifact or an endpoint one question.",
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
        click.Option(
            ["--json"], is_flag=True, expose_value=False, callback=_remember, help="One JSON document on stdout."
        ),
        click.Option(["-q", "--quiet"], is_flag=True, expose_value=False, callback=_remember, help="No progress."),
        click.Option(
            ["-v", "--verbose"],
            is_flag=True,
            expose_value=False,
            callback=_remember,
            help="TensorFlow's own output too.",
        ),
    )
    command.params += common
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
    if option.name == "verbose" and not value and not ctx.resilient_parsing:
        quiet_libraries()


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="tfx-export")
def tfx_export() -> None:
    """From a TensorFlow model to proven artifacts, a server, and honest figures."""


def main(argv: list[str] | None = None) -> None:
    """Run the command line and end the process with its exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    output = Output(json="--json" in arguments, command=next((part for part in arguments if part in VERBS), ""))
    code = run(arguments, output)
    sys.stdout.flush()
    sys.exit(code)


def run(arguments: list[str], output: Output) -> int:
    """The exit code of a command line; everything a user should see was written."""
    from toolkit.cli.settings import settings_for  # late: --help needs no settings

    try:
        defaults = {} if not output.command else settings_for(output.command)
        answer = tfx_export.main(
            arguments, prog_name="tfx-export", standalone_mode=False, obj=output, default_map=defaults
        )
        return output.show(answer) if isinstance(answer, Answer) else int(answer or 0)
    except click.ClickException as error:
        return output.fail(_usage_error(error))
    except ToolkitError as error:
        return output.fail(error)
    except (KeyboardInterrupt, click.Abort):
        return output.fail(_InterruptedError("interrupted", hint="nothing half-written was left"))
    except BrokenPipeError:
        # The reader went away (`| head`): there is nobody to tell, and flushing at exit would complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.UNEXPECTED
    except Exception as error:  # noqa: BLE001  # the one place where a bug becomes a message instead of a traceback
        return output.fail_unexpected(error)


class _InterruptedError(ToolkitError):
    exit_code = ExitCode.INTERRUPTED


class _CommandLineError(ToolkitError):
    exit_code = ExitCode.BAD_INPUT


def _usage_error(error: click.ClickException) -> ToolkitError:
    command = getattr(getattr(error, "ctx", None), "command_path", "tfx-export")
    return _CommandLineError(error.format_message(), hint=f"`{command} --help` lists what it takes")


def command_of(name: str) -> Any:
    """The click command of a verb, for documentation tests."""
    return tfx_export.get_command(click.Context(tfx_export), name)


if __name__ == "__main__":
    main()
