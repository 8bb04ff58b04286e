"""`tfx-export versions`: what is published under a base path, live and withdrawn."""

from dataclasses import asdict
from pathlib import Path

import click

from toolkit.cli.output import Answer, Output


@click.command(short_help="List the versions of a deployed model.")
@click.argument("base_path", type=click.Path(path_type=Path))
@click.option("--grpc", help="HOST:PORT of the server, to say each version's state.")
@click.pass_obj
def command(_: Output, /, base_path: Path, grpc: str | None) -> Answer:
    """List version, place, state, digest, when it was published and the gate's figures of BASE/NAME."""
    from toolkit.api import deployed_versions  # late: --help must not load NumPy

    found = deployed_versions(base_path, grpc)

    def show(screen: Output) -> None:
        rows = [
            (
                str(facts.version),
                facts.place + (" pinned" if facts.pinned else ""),
                facts.state or "-",
                facts.digest[:12] or "by hand",
                facts.when or "-",
                ", ".join(f"{name} {value}" for name, value in facts.figures.items()) or "-",
            )
            for facts in found
        ]
        screen.table(("version", "place", "state", "digest", "when", "gate"), rows, right=(0,))

    return Answer([asdict(facts) for facts in found], show)
