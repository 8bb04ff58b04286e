"""What every transport has in common: where it listens, when it starts, how it stops."""

import socket
from dataclasses import dataclass
from typing import Protocol

from toolkit.errors import UnavailableError

FAST, PUBLIC = "fast", "public"
TRANSPORTS = (FAST, PUBLIC)
DEFAULT_MAX_QUEUE = 1000


class Transport(Protocol):
    """A way to reach the engine."""

    @property
    def port(self) -> int:
        """The port that it really listens on."""

    @property
    def held(self) -> int:
        """Requests that run or wait."""

    def start(self) -> None:
        """Answers from now on."""

    def stop(self, grace_s: float) -> None:
        """Takes nothing new, finishes what is in flight, and returns when that is done or the time is over."""


@dataclass(frozen=True)
class Capacity:
    """How much a transport takes on at a time.

    Args:
        threads: requests that run at the same time.
        max_queue: requests that wait besides; one more is refused at once.
        max_message_bytes: the largest request.
        inline: whether a short request may be answered where it arrives; not where requests are gathered into batches.
    """

    threads: int
    max_queue: int = DEFAULT_MAX_QUEUE
    max_message_bytes: int = 2**31 - 1
    inline: bool = True


def listen(host: str, port: int) -> socket.socket:
    """A bound socket that does not listen yet; port 0 takes a free one.

    Raises:
        UnavailableError: the port is taken, or the host is none of this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Without it a restart waits for the last connections of the one before; a port in use is refused all the same.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except (OSError, OverflowError) as error:
        bound.close()
        raise cannot_listen(host, port, str(error)) from error
    return bound


def cannot_listen(host: str, port: int, reason: str) -> UnavailableError:
    """A port that is not to be had."""
    return UnavailableError(
        f"cannot listen on {host}:{port}: {reason}",
        hint="stop what listens there, or give another port; 0 is any free one",
    )
