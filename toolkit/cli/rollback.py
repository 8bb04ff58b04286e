"""`tfx-export rollback`: takes the newest versions of a deployed model out again."""

from pathlib import Path

import click

from toolkit.cli.operate import operate
from toolkit.cli.output import Answer, Output


@click.command(short_help="Go back to an earlier version.")
@click.argument("base_path", type=click.Path(path_type=Path))
@click.option("--version", type=int, help="The version to go back to. [default: the one before the newest]")
@click.option("--dry-run", is_flag=True, help="Say the steps, do none.")
@click.pass_obj
def command(output: Output, /, base_path: Path, version: int | None, dry_run: bool) -> Answer:
    """Take out every version of BASE/NAME above the one before (or above --version); the server then loads that one."""
    from toolkit.deploying import operations  # late: --help must not load NumPy

    return operate(output, base_path, lambda layout: operations.rollback_steps(layout, version), dry_run=dry_run)
