"""What rollback, promote, gc and pins share: steps on one model under its lock, said and, unless a dry run, done."""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from toolkit.cli.output import Answer, Output


def operate(_: Output, base_path: Path, plan: Callable[[Any], list[Any]], *, dry_run: bool) -> Answer:
    """Carry out the steps that `plan` gives for a layout."""
    from toolkit.deploying.layout import Layout  # late: --help must not load NumPy
    from toolkit.deploying.operations import carry_out

    layout = Layout.of(base_path)
    layout.require()
    said: list[str] = []
    # A dry run may look at what it could not write.
    with nullcontext() if dry_run else layout.alone():
        carry_out(plan(layout), said.append, dry_run=dry_run)

    def show(screen: Output) -> None:
        for text in said or ["nothing to do"]:
            screen.line(text)

    return Answer({"steps": said, "versions": layout.versions(), "dry_run": dry_run}, show)
