"""The options of every verb that may speak to the server in production."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from toolkit.cli.endpoints import endpoint_options

_NAMES = ("grpc", "rest", "config", "reload_by", "reach")


def production_options(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --grpc, --rest, --config, --reload-by and those of endpoints, and gives the verb one `production`."""

    @functools.wraps(verb)
    def with_server(*args: Any, **options: Any) -> Any:
        from toolkit.deploying.requests import Server  # late: --help must not load NumPy

        return verb(*args, production=Server(**{name: options.pop(name) for name in _NAMES}), **options)

    decorators = (
        click.option("--grpc", metavar="HOST:PORT", help="The server in production."),
        click.option("--rest", metavar="HOST:PORT", help="Its REST API, to ask that too."),
        click.option(
            "--config", type=click.Path(path_type=Path), help="Its models.config, which is ours to edit: labels move."
        ),
        click.option(
            "--reload-by",
            type=click.Choice(["request", "file"]),
            default="request",
            show_default=True,
            help="How it learns of another --config: it is told, or polls the file.",
        ),
        endpoint_options,
    )
    return functools.reduce(lambda decorated, add: add(decorated), reversed(decorators), with_server)
