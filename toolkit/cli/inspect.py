"""`tfx-export inspect`: what is in an artifact, what it could do to who loads it, and how to call it."""

from pathlib import Path

import click

from toolkit.cli.durations import DURATION
from toolkit.cli.output import Answer, Output

_KINDS = ("unsafe", "path", "leftover", "doubled", "large")


@click.command(short_help="Show what is inside an artifact, without running it.")
@click.argument("path", type=click.Path(path_type=Path))
@click.argument("other", type=click.Path(path_type=Path), required=False)
@click.option("--calls", is_flag=True, help="Print a gRPC, curl and Python call of each signature, ready to paste.")
@click.option(
    "--fail-on", type=click.Choice(_KINDS), multiple=True, help="End with 3 on a finding of this kind; may be repeated."
)
@click.option(
    "--modelscan/--no-modelscan", default=True, help="Ask modelscan too, where it is installed. [default: yes]"
)
@click.option("--timeout", type=DURATION, default="30s", show_default=True, help="Limit of reading one artifact.")
@click.pass_obj
def command(
    _: Output, /, path: Path, other: Path | None, calls: bool, fail_on: tuple[str, ...], modelscan: bool, timeout: float
) -> Answer:
    """Show format, versions, signatures, ops, weights and findings of PATH; with OTHER, what differs between the two.

    PATH is a bundle or a model's folder of bundles, a SavedModel, or a .tflite, .onnx or .keras file. Nothing of it is
    run and TensorFlow is not loaded. Findings: `unsafe` for what reads or writes files, runs Python, prints, opens
    the network or is not known; `path` for places on the machine where it was made; `leftover` for what only training
    needs; `doubled` and `large` for what makes it bigger than it need be.
    """
    from toolkit.cli.inspections import show_differences, show_inspection  # late: --help must not load NumPy
    from toolkit.insight.differences import differences
    from toolkit.insight.inspecting import InspectOptions, inspect, refusal

    options = InspectOptions(timeout_s=timeout, modelscan=modelscan)
    found = inspect(path, options)
    if other is None:
        return Answer(
            found.to_json(), lambda screen: show_inspection(screen, found, calls=calls), refusal(found, fail_on)
        )
    both = differences(found, inspect(other, options))
    error = refusal(found, fail_on) or refusal(both.second, fail_on)
    return Answer(both.to_json(), lambda screen: show_differences(screen, both), error)
