"""`tfx-export promote`: brings a withdrawn version back."""

from pathlib import Path

import click

from toolkit.cli.operate import operate
from toolkit.cli.output import Answer, Output


@click.command(short_help="Bring a withdrawn version back.")
@click.argument("base_path", type=click.Path(path_type=Path))
@click.option("--version", type=int, help="Which version. [default: the newest withdrawn one]")
@click.option("--dry-run", is_flag=True, help="Say the steps, do none.")
@click.pass_obj
def command(output: Output, /, base_path: Path, version: int | None, dry_run: bool) -> Answer:
    """Bring the newest withdrawn version of BASE/NAME back (or --version), by one rename."""
    from toolkit.deploying import operations  # late: --help must not load NumPy

    return operate(output, base_path, lambda layout: operations.promote_steps(layout, version), dry_run=dry_run)
