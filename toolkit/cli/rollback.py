"""`tfx-export rollback`: goes back to an earlier version of a deployed model."""

from pathlib import Path
from typing import Any

import click

from toolkit.cli.operate import operate
from toolkit.cli.output import Answer, Output
from toolkit.cli.production import production_options


@click.command(short_help="Go back to an earlier version.")
@click.argument("base_path", type=click.Path(path_type=Path))
@click.option("--version", type=int, help="The version to go back to. [default: the one before]")
@production_options
@click.option("--dry-run", is_flag=True, help="Say the steps, do none.")
@click.pass_obj
def command(output: Output, /, base_path: Path, version: int | None, production: Any, dry_run: bool) -> Answer:
    """Take out every version of BASE/NAME above the one before (or above --version); the server then loads that one.

    With --config no version is taken out: the label stable moves back. With --grpc the server is asked after it.
    """
    from toolkit.deploying import operations  # late: --help must not load NumPy

    return operate(
        output,
        base_path,
        lambda layout: operations.rollback_steps(layout, version, production),
        dry_run=dry_run,
    )
