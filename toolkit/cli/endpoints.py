"""The options of every verb that reaches a server: TLS files and the message limit."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

_FILE = click.Path(path_type=Path)


def endpoint_options(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --tls-ca, --tls-cert, --tls-key and --max-message-mb, and gives the verb one `reach` for them."""

    @functools.wraps(verb)
    def with_reach(*args: Any, **options: Any) -> Any:
        from toolkit.wire.endpoints import Reach  # late: --help must not load NumPy

        names = ("tls_ca", "tls_cert", "tls_key", "max_message_mb")
        return verb(*args, reach=Reach(**{name: options.pop(name) for name in names}), **options)

    decorators = (
        click.option("--tls-ca", type=_FILE, help="Who may sign the server's certificate (PEM)."),
        click.option("--tls-cert", type=_FILE, help="Our own certificate, for mutual TLS (PEM)."),
        click.option("--tls-key", type=_FILE, help="Its private key (PEM)."),
        click.option("--max-message-mb", type=float, help="The largest message to send or take, in MB."),
    )
    return functools.reduce(lambda decorated, add: add(decorated), reversed(decorators), with_reach)
