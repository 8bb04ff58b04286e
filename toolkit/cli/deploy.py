"""`tfx-export deploy`: a bundle through a gate into the folder that TensorFlow Serving watches."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from toolkit.cli.durations import DURATION
from toolkit.cli.output import Answer, Output
from toolkit.cli.production import production_options

_PATH = click.Path(path_type=Path)


@click.command(short_help="Publish a bundle through a gate, with a way back.")
@click.argument("bundle", type=_PATH)
@click.option("--to", type=_PATH, required=True, help="The serving root; NAME below it is the base path.")
@click.option("--as", "name", help="What clients call the model. [default: the bundle's model]")
@click.option(
    "--server", type=click.Choice(["embedded", "binary", "docker", "remote"]), default="embedded", show_default=True,
    help="Which server the gate asks; remote is the canary in production.",
)  # fmt: skip
@click.option("--server-binary", default="tensorflow_model_server", show_default=True, help="For --server binary.")
@click.option("--image", default="tensorflow/serving:2.21.0", show_default=True, help="For --server docker.")
@click.option("--load-timeout", type=DURATION, default="2m", show_default=True, help="Until AVAILABLE.")
@click.option("--max-p99", type=DURATION, help="Refuse a slower p99, counted from the scheduled time.")
@click.option("--rate", type=float, default=50.0, show_default=True, help="Requests a second while p99 is measured.")
@click.option("--max-memory", type=float, metavar="MB", help="Refuse a server that needs more, in MB.")
@click.option("--max-change", type=float, help="Refuse answers further from those of the version in production.")
@production_options
@click.option("--hold", is_flag=True, help="With --config: stop at the canary; `promote` moves stable.")
@click.option("--dry-run", is_flag=True, help="Say the steps, check the bundle, publish nothing.")
@click.pass_obj
def command(output: Output, /, bundle: Path, to: Path, **options: Any) -> Answer:
    """Verify BUNDLE, ask a private server everything the eager model answered, then publish to TO/NAME/VERSION.

    With --grpc the production server is watched: a wrong, slow or missing answer takes the version out again (exit 6).
    With --config the version is labelled canary and asked, before the label stable moves.
    """
    from toolkit.api import deploy  # late: --help must not load NumPy

    said: list[str] = []

    def tell(text: str) -> None:
        said.append(text)
        if not output.quiet:
            sys.stderr.write(text + "\n")

    done = deploy(bundle, to=to, tell=tell, **options)

    def show(screen: Output) -> None:
        if done is None:
            screen.line("nothing was published (--dry-run)")
            return
        rows = [(found.name, "ok" if found.passed else "FAIL", found.text) for found in done.findings]
        screen.table(("finding", "verdict", "what was seen"), rows)
        screen.line(f"{done.model} version {done.version} is at {done.path}")

    return Answer(asdict(done) | {"path": str(done.path)} if done else {"dry_run": True, "steps": said}, show)
