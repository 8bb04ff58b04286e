"""`tfx-export verify`: a bundle in, the word that it is still what was published out."""

from pathlib import Path

import click

from toolkit.cli.durations import DURATION
from toolkit.cli.output import Answer, Output


@click.command(short_help="Re-hash a bundle and replay its golden cases.")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--timeout", type=DURATION, default="10m", show_default=True, help="Limit of one verdict.")
@click.pass_obj
def command(output: Output, /, path: Path, timeout: float) -> Answer:
    """Hash every file of the bundle at PATH and replay golden.npz through every artifact.

    Needs neither the model's source nor training code. PATH is exported/MODEL/VERSION, or exported/MODEL for the
    newest.
    """
    from toolkit.api import verified, verify  # late: --help must not load NumPy
    from toolkit.building.targets import find_bundle
    from toolkit.cli.tables import show_manifest

    bundle = find_bundle(path)
    manifest = verify(bundle, timeout_s=timeout, verbose=output.verbose)
    error = verified(manifest)
    return Answer(manifest.to_json(), lambda screen: show_manifest(screen, manifest, bundle, error), error)
