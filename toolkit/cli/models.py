"""`tfx-export models`: lists what can be built in this project."""

from pathlib import Path

import click

from toolkit.cli.output import Answer, Output, readable_path


@click.command(short_help="List what can be built.")
@click.pass_obj
def command(_: Output) -> Answer:
    """List the models in models/ of this project, and the newest bundle of each."""
    from toolkit.api import list_models  # late: --help must not load NumPy

    found = list_models(Path.cwd())

    def show(screen: Output) -> None:
        rows = [
            (model["name"], readable_path(model["bundle"]) if model["bundle"] else "-", model["description"])
            for model in found
        ]
        screen.table(("model", "newest bundle", "description"), rows)

    return Answer(found, show)


def _place(bundle: str | None) -> str:
    return readable_path(bundle) if bundle else "-"
