"""`tfx-export predict`: one question to a bundle, an artifact or an endpoint, and its answer."""

import json
from pathlib import Path
from typing import Any

import click

from toolkit.cli.endpoints import endpoint_options
from toolkit.cli.output import Answer, Output, plain
from toolkit.errors import FeedError


@click.command(short_help="Ask one question.")
@click.argument("target")
@click.option(
    "--input", "file", type=click.Path(path_type=Path), help="A feed: FILE.json or FILE.npz. [default: a golden one]"
)
@click.option("--artifact", help="Which artifact of a bundle. [default: the first one]")
@click.option("--signature", help="Which signature. [default: serving_default]")
@endpoint_options
@click.pass_obj
def command(_: Output, /, target: str, file: Path | None, **options: Any) -> Answer:
    """Ask TARGET, which is a bundle, an artifact's file, or grpc://HOST:PORT/MODEL or http://HOST:PORT/MODEL.

    A JSON feed is {"input name": nested lists}; bytes that are no text stand as {"b64": "..."}.
    """
    from toolkit.api import predict  # late: --help must not load NumPy

    outputs = predict(target, read_feed(file) if file else None, **options)
    document = {"outputs": plain(dict(outputs))}

    def show(screen: Output) -> None:
        screen.line(json.dumps(document["outputs"], ensure_ascii=False))

    return Answer(document, show)


def read_feed(file: Path) -> dict[str, Any]:
    """The feed in a file.

    Raises:
        FeedError: the file is missing, or neither JSON nor npz with named inputs.
    """
    import numpy as np

    try:
        if file.suffix == ".npz":
            with np.load(file, allow_pickle=False) as stored:
                return {name: stored[name] for name in stored.files}
        document = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise FeedError(
            f"{file} holds no feed: {error}", hint="give JSON, or an .npz without pickled objects"
        ) from error
    if not isinstance(document, dict):
        raise FeedError(f"{file} holds a {type(document).__name__}", hint='write {"input name": values}')
    named = document.get("inputs", document)
    if not isinstance(named, dict):
        raise FeedError(f"the inputs in {file} have no names", hint='write {"input name": values}')
    return {name: _decoded(value) for name, value in named.items()}


def _decoded(value: Any) -> Any:
    import base64
    import binascii

    if isinstance(value, list):
        return [_decoded(item) for item in value]
    if isinstance(value, dict) and set(value) == {"b64"}:
        try:
            return base64.b64decode(value["b64"], validate=True)
        except (binascii.Error, TypeError, ValueError) as error:
            raise FeedError(f"not base64: {value['b64']!r:.40}", hint='write {"b64": "..."}') from error
    return value
