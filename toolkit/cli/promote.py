"""`tfx-export promote`: a canary becomes stable, or a withdrawn version comes back."""

from pathlib import Path
from typing import Any

import click

from toolkit.cli.operate import operate
from toolkit.cli.output import Answer, Output
from toolkit.cli.production import production_options


@click.command(short_help="Make a canary stable, or bring a withdrawn version back.")
@click.argument("base_path", type=click.Path(path_type=Path))
@click.option("--version", type=int, help="Which version. [default: the canary, or the newest withdrawn one]")
@production_options
@click.option("--dry-run", is_flag=True, help="Say the steps, do none.")
@click.pass_obj
def command(output: Output, /, base_path: Path, version: int | None, production: Any, dry_run: bool) -> Answer:
    """Bring the newest withdrawn version of BASE/NAME back (or --version), by one rename.

    With --config the label stable moves to the canary (or to --version). With --grpc the server is asked after it.
    """
    from toolkit.deploying import operations  # late: --help must not load NumPy

    return operate(
        output,
        base_path,
        lambda layout: operations.promote_steps(layout, version, production),
        dry_run=dry_run,
    )
