"""`tfx-export predict`: one question to a bundle, an artifact or an endpoint, and its answer."""

import sys
from pathlib import Path
from typing import Any

import click

from toolkit.cli.endpoints import endpoint_options
from toolkit.cli.feeds import read_feed
from toolkit.cli.output import Answer, Output


@click.command(short_help="Ask one question.")
@click.argument("target")
@click.option(
    "--input",
    "file",
    type=click.Path(path_type=Path, allow_dash=True),
    help="A feed: FILE.json, FILE.npz, or - for JSON on standard input. [default: a golden one]",
)
@click.option("--artifact", help="Which artifact of a bundle. [default: the first one]")
@click.option("--signature", help="Which signature. [default: serving_default]")
@endpoint_options
@click.pass_obj
def command(output: Output, /, target: str, file: Path | None, **options: Any) -> Answer:
    """Ask TARGET, which is a bundle, an artifact's file, or grpc://HOST:PORT/MODEL or http://HOST:PORT/MODEL.

    A JSON feed is {"input name": nested lists}; NaN and Infinity stand bare, and bytes that are no text as
    {"b64": "..."}.
    """
    from toolkit.api import predict  # late: --help must not load NumPy

    feed = read_feed(file) if file else None
    if feed is None and not output.quiet:
        sys.stderr.write("no --input: asking with a golden feed of the bundle's, or else with made-up values\n")
    outputs = dict(sorted(predict(target, feed, **options).items()))
    return Answer({"outputs": outputs}, lambda screen: screen.json_line(outputs))
