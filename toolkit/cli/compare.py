"""`tfx-export compare`: two reports of bench or load in, row by row faster, slower or no difference out."""

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
        try:
            return float(text[:-1]) / 100 if text.endswith("%") else float(text)
        except ValueError:
            self.fail(f"'{value}' is no share; write 5% or 0.05", param, ctx)


@click.command(short_help="Say which paths became faster or slower between two reports.")
@click.argument("base", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@click.option("--fail-above", type=_Share(), help="End with 6 where a path is surely slower by more than this: 5%.")
@click.pass_obj
def command(_: Output, base: Path, new: Path, fail_above: float | None) -> Answer:
    """Compare NEW with BASE, two files that `bench --json` or `load --json` wrote on one machine."""
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

    document = {"changes": [change.to_json() for change in found.changes], "differences": list(found.differences)}
    return Answer(document, show, found.refusal(fail_above))
