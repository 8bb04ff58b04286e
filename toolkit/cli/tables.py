"""Shows a manifest to a person: a narrow table of its artifacts, and below it what does not fit into one."""

from pathlib import Path

from toolkit.cli.output import Output, readable_bytes, readable_path
from toolkit.core.artifact import Artifact, Manifest
from toolkit.errors import ToolkitError

NOTHING = "-"


def show_manifest(screen: Output, manifest: Manifest, bundle: Path | None, error: ToolkitError | None = None) -> None:
    """What each artifact weighs, how far it is from eager, and the verdict; reasons and notes below.

    Args:
        screen: where to.
        manifest: the facts.
        bundle: where it was published, if it was.
        error: what will be said anyway and need not be said twice.
    """
    scores = [artifact.quality for artifact in manifest.artifacts if artifact.quality]
    metric = scores[0].metric if scores else "quality"
    headings = ("artifact", "size", "seconds", "max |\u0394|", "argmax", metric, "verdict")
    facts = manifest.trace
    eager = f", eager {metric} {scores[0].baseline:.4f}" if scores else ""
    place = readable_path(bundle) if bundle else "not published"
    traces = f"{facts['count']} trace{'s' if facts['count'] != 1 else ''}"
    screen.line(f"{manifest.model}: {traces}, {facts['ops']} ops, {facts['seconds']:.2f} s{eager} -> {place}")
    screen.table(headings, [_row(artifact) for artifact in manifest.artifacts], right=(1, 2, 3, 4, 5))
    said = error.message if error else ""
    for line in _remarks(manifest):
        if line.partition(": ")[2] not in said:
            screen.line(line)
    screen.line()


def _row(artifact: Artifact) -> tuple[str, ...]:
    parity, quality = artifact.parity, artifact.quality
    allowed = any(deviation.allowed for check in parity.checks for deviation in check.outputs.values())
    return (
        artifact.name,
        readable_bytes(artifact.size_bytes) if artifact.files else NOTHING,
        f"{artifact.export_seconds:.2f}",
        NOTHING if parity.max_abs is None else f"{parity.max_abs:.1e}",
        NOTHING if parity.argmax_agreement is None else f"{parity.argmax_agreement:.1%}",
        f"{quality.candidate:.4f}" if quality else NOTHING,
        "allowed" if allowed and parity.status == "pass" else parity.status,
    )


def _remarks(manifest: Manifest) -> list[str]:
    """`NAME WHY: text`, a line each."""
    lines = []
    for artifact in manifest.artifacts:
        parity = artifact.parity
        lines += [f"{artifact.name} {parity.status}: {parity.reason}"] if parity.reason else []
        allowed = {
            (name, deviation.allowed)
            for check in parity.checks
            for name, deviation in check.outputs.items()
            if deviation.allowed
        }
        for name, word in sorted(allowed, key=str):
            lines.append(f"{artifact.name} allowed: '{name}' up to {word.value:g}: {word.reason}")
        lines += [f"{artifact.name} note: {note}" for note in artifact.notes]
    return lines + [f"note: {note}" for note in manifest.notes]
