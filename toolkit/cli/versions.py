"""`tfx-export versions`: what is published under a base path, live and withdrawn; pins what gc must keep."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from toolkit.cli.operate import operate
from toolkit.cli.output import Answer, Output
from toolkit.cli.production import production_options


@click.command(short_help="List the versions of a deployed model.")
@click.argument("base_path", type=click.Path(path_type=Path))
@click.option("--pin", type=int, metavar="N", help="Have gc keep version N, whatever comes after it.")
@click.option("--unpin", type=int, metavar="N", help="Let gc remove version N again.")
@production_options
@click.pass_obj
def command(output: Output, /, base_path: Path, pin: int | None, unpin: int | None, production: Any) -> Answer:
    """List version, place, labels, state, digest, when it was published and the gate's figures of BASE/NAME."""
    from toolkit.deploying import operations  # late: --help must not load NumPy
    from toolkit.deploying.layout import Layout

    if pin is not None:
        operate(output, base_path, lambda layout: operations.pin_steps(layout, pin, keep=True), dry_run=False)
    if unpin is not None:
        operate(output, base_path, lambda layout: operations.pin_steps(layout, unpin, keep=False), dry_run=False)
    layout = Layout.of(base_path)
    layout.require()
    found = operations.list_versions(layout, production)

    def show(screen: Output) -> None:
        headings = ("version", "place", "labels", "state", "digest", "when", "gate")
        screen.table(headings, [_row(facts) for facts in found], right=(0,))

    return Answer([asdict(facts) for facts in found], show)


def _row(facts: Any) -> tuple[str, ...]:
    return (
        str(facts.version),
        facts.place + (" pinned" if facts.pinned else ""),
        ", ".join(facts.labels) or "-",
        facts.state or "-",
        facts.digest[:12] or "by hand",
        facts.when or "-",
        ", ".join(f"{name} {value}" for name, value in facts.figures.items()) or "-",
    )
