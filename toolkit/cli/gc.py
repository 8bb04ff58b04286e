"""`tfx-export gc`: removes old versions of a deployed model."""

from pathlib import Path
from typing import Any

import click

from toolkit.cli.operate import operate
from toolkit.cli.output import Answer, Output
from toolkit.cli.production import production_options


@click.command(short_help="Remove old versions.")
@click.argument("base_path", type=click.Path(path_type=Path))
@click.option("--keep", type=int, default=3, show_default=True, help="How many of the newest to keep.")
@production_options
@click.option("--dry-run", is_flag=True, help="Say the steps, do none.")
@click.pass_obj
def command(output: Output, /, base_path: Path, keep: int, production: Any, dry_run: bool) -> Answer:
    """Remove all but the newest versions of BASE/NAME, live and withdrawn.

    Never one that is pinned, that the server at --grpc has in memory, or that --config names.
    """
    from toolkit.deploying import operations  # late: --help must not load NumPy

    return operate(
        output,
        base_path,
        lambda layout: operations.gc_steps(layout, keep, operations.needed_versions(layout, production)),
        dry_run=dry_run,
    )
