"""`tfx-export compare`: two reports of bench or load in, row by row faster, slower or no difference out."""

import math
from pathlib import Path
from typing import Any

import click

from toolkit.cli.output import Answer, Output


class _Share(click.ParamType):  # type: ignore[type-arg]  # older releases of click cannot subscript it
    """A share as people write it: `5%` or `0.05`."""

    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """5% as 0.05."""
        text = str(value).strip()
        number, percent = text.removesuffix("%"), text.endswith("%")
        try:
            found = float(number)
        except ValueError:
            self.fail(f"'{value}' is no share; write 5% or 0.05", param, ctx)
        if not 0 < found < math.inf:  # which nan is not, either
            self.fail(f"'{value}' is no share above nothing; write 5% or 0.05", param, ctx)
        if found > 1 and not percent:
            self.fail(f"{value} would be {found * 100:g}%; write {number}% if you mean that many percent", param, ctx)
        return found / 100 if percent else found


@click.command(short_help="Say which paths became faster or slower between two reports.")
@click.argument("base", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@click.option(
    "--fail-above",
    type=_Share(),
    help="End with 6 where a path is surely slower and its estimate by more than this, as in 5%, "
    "or where it is WRONG, lost or not comparable in NEW.",
)
@click.pass_obj
def command(_: Output, base: Path, new: Path, fail_above: float | None) -> Answer:
    """Compare NEW with BASE, two files that `bench --json` or `load --json` wrote on one machine.

    Surely slower means that the 99 % interval of the ratio lies below 1. A path is lost that has a time in BASE and
    none in NEW; it is not comparable where the two were given unlike options that change what is measured.
    """
    from toolkit.measure.reading import compare_files  # late: --help must not load NumPy

    found = compare_files(base, new)

    def show(screen: Output) -> None:
        rows = []
        for change in found.changes:
            key, speedup = change.key, change.speedup
            text = f"{speedup.value:.2f} [{speedup.low:.2f}, {speedup.high:.2f}]" if speedup else "-"
            rows.append((key.model, key.path, str(key.batch_size), str(key.threads), text, change.verdict))
        screen.table(("model", "path", "batch", "threads", "times as fast (99 %)", "verdict"), rows, right=(2, 3, 4))
        for change in found.changes:
            if change.note:
                screen.line(f"{change.key}: {change.note}")
        for difference in found.differences:
            screen.line(f"changed: {difference}")

    document = {
        "changes": [change.to_json() for change in found.changes],
        "differences": list(found.differences),
        "fail_above": fail_above,
    }
    return Answer(document, show, found.refusal(fail_above))
