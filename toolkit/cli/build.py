"""`tfx-export build`: references in, proven bundles and their table out."""

from pathlib import Path
from typing import Any

import click

from toolkit.cli.durations import DURATION
from toolkit.cli.output import Answer, Output
from toolkit.cli.progress import Steps
from toolkit.core.artifact import Artifact, Manifest
from toolkit.errors import ToolkitError, UsageError

HEADINGS = ("artifact", "size", "seconds", "max |\u0394|", "argmax", "quality", "verdict")


@click.command(short_help="Export models and prove every artifact.")
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option("--formats", help="Artifacts to make, as in saved_model,onnx. [default: all]")
@click.option(
    "--out", type=click.Path(path_type=Path), help="The bundle's directory, in place of exported/MODEL/VERSION."
)
@click.option(
    "--timeout", type=DURATION, default="10m", show_default=True, help="Limit of one conversion and one verdict."
)
@click.option(
    "--allow-diff", multiple=True, metavar="OUTPUT=VALUE", help="Let a known difference pass; needs --reason."
)
@click.option("--reason", default="", help="Why; written into the manifest.")
@click.option("--keep-going", is_flag=True, help="Publish what passed even if an artifact failed.")
@click.option(
    "--import", "imports", multiple=True, metavar="MODULE", help="Import first: registers custom Keras classes."
)
@click.option("--unsafe-lambda", is_flag=True, help="Load Keras files with Lambda layers, which run Python code.")
@click.pass_obj
def command(
    output: Output, /, models: tuple[str, ...], formats: str | None, allow_diff: tuple[str, ...], **options: Any
) -> Answer:
    """Export MODELs (all of models/ without one), run every artifact against the eager model, publish what agrees.

    MODEL is a name in models/, path/file.py[:NAME], package.module:NAME, a .keras file or a SavedModel directory.
    """
    from toolkit.api import BuildRequest, build_all  # late: --help must not load NumPy

    request = BuildRequest(
        models=models,
        formats=tuple(name.strip() for name in formats.split(",") if name.strip()) if formats else (),
        timeout_s=options.pop("timeout"),
        allow_diff=dict(map(_allowed, allow_diff)),
        verbose=output.verbose,
        **options,
    )
    with Steps(output) as steps:
        outcomes = build_all(request, steps.report)
    errors = [found if isinstance(found, ToolkitError) else found.error for found in outcomes]
    made = [found for found in outcomes if not isinstance(found, ToolkitError)]

    def show(screen: Output) -> None:
        for outcome in made:
            show_manifest(screen, outcome.manifest, outcome.bundle)

    documents = [found.manifest.to_json() | {"bundle": str(found.bundle) if found.bundle else None} for found in made]
    return Answer(documents, show, _worst([error for error in errors if error]))


def show_manifest(screen: Output, manifest: Manifest, bundle: Path | None) -> None:
    """A model's table: what each artifact weighs, how far it is from eager, and the verdict."""
    place = str(bundle) if bundle else "not published"
    facts = manifest.trace
    screen.line(f"{manifest.model}: {facts['count']} trace(s), {facts['ops']} ops, {facts['seconds']:.2f} s -> {place}")
    screen.table(HEADINGS, [_row(artifact) for artifact in manifest.artifacts], right=(1, 2, 3, 4))
    for artifact in manifest.artifacts:
        for note in artifact.notes:
            screen.line(f"note: {artifact.name}: {note}")
    for note in manifest.notes:
        screen.line(f"note: {note}")
    screen.line()


def _row(artifact: Artifact) -> tuple[str, ...]:
    parity, quality = artifact.parity, artifact.quality
    made = bool(artifact.files)
    verdict = parity.status if parity.status == "pass" else f"{parity.status}: {parity.reason}"
    allowed = any(deviation.allowed for check in parity.checks for deviation in check.outputs.values())
    return (
        artifact.name,
        readable_bytes(artifact.size_bytes) if made else "-",
        f"{artifact.export_seconds:.2f}",
        "-" if parity.max_abs is None else f"{parity.max_abs:.1e}",
        "-" if parity.argmax_agreement is None else f"{parity.argmax_agreement:.1%}",
        f"{quality.metric} {quality.candidate:.4f} (eager {quality.baseline:.4f})" if quality else "-",
        f"{verdict} (a difference was allowed)" if allowed and parity.status == "pass" else verdict,
    )


def readable_bytes(size: int) -> str:
    """1234567 as '1.23 MB'."""
    for limit, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size >= limit:
            return f"{size / limit:.2f} {unit}"
    return f"{size} B"


def _allowed(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError:
        raise UsageError(f"--allow-diff {text} is not OUTPUT=VALUE", hint="as in --allow-diff logits=0.01") from None


def _worst(errors: list[ToolkitError]) -> ToolkitError | None:
    """All errors as one, with the worst code: an artifact that lies is worse than one that is missing."""
    if not errors:
        return None
    worst = max(errors, key=lambda error: _SEVERITY.index(int(error.exit_code)))
    if len(errors) == 1:
        return worst
    combined = type(worst)("; ".join(error.message for error in errors), hint=worst.hint)
    combined.exit_code = worst.exit_code
    return combined


_SEVERITY = [0, 7, 2, 4, 6, 5, 3, 1, 130]
