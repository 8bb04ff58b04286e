"""`tfx-export gc`: removes old versions of a deployed model."""

from pathlib import Path

import click

from toolkit.cli.operate import operate
from toolkit.cli.output import Answer, Output


@click.command(short_help="Remove old versions.")
@click.argument("base_path", type=click.Path(path_type=Path))
@click.option("--keep", type=int, default=3, show_default=True, help="How many of the newest to keep.")
@click.option("--grpc", help="HOST:PORT of the server: what it has in memory is kept too.")
@click.option("--dry-run", is_flag=True, help="Say the steps, do none.")
@click.pass_obj
def command(output: Output, /, base_path: Path, keep: int, grpc: str | None, dry_run: bool) -> Answer:
    """Remove all but the newest versions of BASE/NAME; never one that is served or pinned."""
    from toolkit.api import grpc_endpoint  # late: --help must not load NumPy
    from toolkit.deploying import operations

    endpoint = grpc_endpoint(grpc)

    return operate(
        output,
        base_path,
        lambda layout: operations.gc_steps(layout, keep, operations.served_versions(layout, endpoint)),
        dry_run=dry_run,
    )
