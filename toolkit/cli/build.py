"""`tfx-export build`: references in, proven bundles and their table out."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from toolkit.cli.durations import DURATION
from toolkit.cli.output import Answer, Output, readable_path
from toolkit.cli.progress import Steps
from toolkit.errors import ToolkitError, UsageError

if TYPE_CHECKING:
    from toolkit.building.pipeline import Outcome
    from toolkit.building.several import BuildRequest

# From the least to the worst: an artifact that lies is worse than one that is missing.
SEVERITY = (0, 7, 2, 4, 6, 5, 3, 1, 130)


@click.command(short_help="Export models and prove every artifact.")
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option(
    "--formats", multiple=True, help="Artifacts to make, as in onnx,tflite-int8. [default: all but quantized ones]"
)
@click.option(
    "--max-accuracy-drop",
    type=click.FloatRange(min=0),
    default=0.01,
    show_default=True,
    help="How far the metric of a quantized artifact may fall below eager's.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="The bundle's directory [default: exported/MODEL/VERSION]."
)
@click.option("--timeout", type=DURATION, default="10m", show_default=True, help="Limit of one conversion or verdict.")
@click.option(
    "--allow-diff", multiple=True, metavar="OUTPUT=VALUE", help="Let a known difference pass; needs --reason."
)
@click.option("--reason", default="", help="Why; written into the manifest.")
@click.option("--keep-going", is_flag=True, help="Publish what passed even if an artifact failed.")
@click.option(
    "--import", "imports", multiple=True, metavar="MODULE", help="Import first: its Keras classes are known then."
)
@click.option("--unsafe-lambda", is_flag=True, help="Load Keras files with Lambda layers, which run Python code.")
@click.option("--opset", type=int, help="Version of ONNX' operators, from 18. [default: 18]")
@click.option("--fixed-batch", type=int, metavar="N", help="TFLite files that take N rows, where any number cannot be.")
@click.option("--allow-flex", is_flag=True, help="TFLite files with TensorFlow's own ops, which nothing here can open.")
@click.option("--int8-io", is_flag=True, help="tflite-int8 files that also take and give int8, for int8-only devices.")
@click.option("--matrix", is_flag=True, help="One table of models by formats, also as exported/matrix.md and .json.")
@click.pass_obj
def command(output: Output, /, models: tuple[str, ...], formats: Sequence[str], **options: Any) -> Answer:
    """Export MODELs (all of models/ without one), run every artifact against the eager model, publish what agrees.

    MODEL is a name in models/, path/file.py[:NAME], package.module:NAME, a .keras file or a SavedModel directory.
    """
    from toolkit.building.several import BuildRequest, build_all  # late: --help must not load NumPy

    matrix = options.pop("matrix")
    request = BuildRequest(
        models=models,
        formats=tuple(name.strip() for part in formats for name in part.split(",") if name.strip()),
        timeout_s=options.pop("timeout"),
        allow_diff=dict(map(_allowed, options.pop("allow_diff"))),
        verbose=output.verbose,
        **options,
    )
    with Steps(output) as steps:

        def tell(outcome: "Outcome | ToolkitError", of: int) -> None:
            with steps.paused():
                if not matrix:
                    _show(output, outcome, alone=of == 1)

        outcomes = build_all(request, steps.report, tell)
    made = [found for found in outcomes if not isinstance(found, ToolkitError)]
    documents = [found.manifest.to_json() | {"bundle": str(found.bundle) if found.bundle else None} for found in made]
    show = _matrix(request, outcomes) if matrix else _nothing
    return Answer(documents, show, _worst(outcomes, detailed=output.json))


def _nothing(_: Output) -> None:
    """Tables were shown as they came."""


def _matrix(request: "BuildRequest", outcomes: "Sequence[Outcome | ToolkitError]") -> Callable[[Output], None]:
    """Writes the matrix; gives what shows it."""
    from toolkit.building.matrix import Matrix
    from toolkit.building.several import references_of

    root, references = references_of(request)
    found = Matrix.of(references, outcomes)
    paths = found.write(root / "exported")

    def show(screen: Output) -> None:
        screen.table(*found.table())
        for line in found.remarks():
            screen.line(line)
        screen.line(f"-> {', '.join(map(readable_path, paths))}")

    return show


def _show(screen: Output, outcome: "Outcome | ToolkitError", *, alone: bool) -> None:
    """A model's table as soon as it is done: others may take minutes more, or be interrupted."""
    from toolkit.cli.tables import show_manifest  # late: it loads NumPy

    if screen.json:
        return
    error = outcome if isinstance(outcome, ToolkitError) else outcome.error
    if not isinstance(outcome, ToolkitError):
        show_manifest(screen, outcome.manifest, outcome.bundle, error)
    if error and not alone:
        screen.complain(error)


def _allowed(text: str) -> tuple[str, float]:
    name, _, written = text.rpartition("=")
    try:
        value = float(written)
    except ValueError:
        value = math.nan
    if not name or not value >= 0:
        raise UsageError(f"--allow-diff {text} is not OUTPUT=VALUE", hint="as in --allow-diff logits=0.01")
    return name, value


def _worst(outcomes: "Sequence[Outcome | ToolkitError]", *, detailed: bool) -> ToolkitError | None:
    """All errors as one, with the worst code; people have read the details already."""
    errors = [found if isinstance(found, ToolkitError) else found.error for found in outcomes]
    wrong = [error for error in errors if error]
    if len(outcomes) == 1 or not wrong:
        return next(iter(wrong), None)
    worst = max(wrong, key=lambda error: SEVERITY.index(int(error.exit_code)))
    count = f"{len(wrong)} of {len(outcomes)} models failed"
    details = "; ".join(error.message for error in wrong)
    combined = type(worst)(f"{count}: {details}" if detailed else count, hint=worst.hint if detailed else "")
    combined.exit_code = worst.exit_code
    return combined
