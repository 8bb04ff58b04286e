"""What every transport has in common: where it listens, when it starts, how it stops."""

import socket
import threading
from dataclasses import dataclass
from pathlib import Path
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


def deadline_of(left_s: float, now_ns: int) -> int | None:
    """When a caller stops waiting, by the clock that gave now_ns; None where it waits for ever.

    grpcio says "no deadline" as one that is 292 years away, and a caller may name one that no lock of Python's can wait
    for: both are none.
    """
    return now_ns + int(left_s * 1e9) if left_s < threading.TIMEOUT_MAX else None


def listen(host: str, port: int, backlog: int) -> socket.socket:
    """A socket that listens; port 0 takes a free one.

    It listens at once, for two that only bound the same port would not know of each other before models were loaded.

    Raises:
        UnavailableError: the port is taken, or the host is none of this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Without it a restart waits for the last connections of the one before; a port in use is refused all the same.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        bound.listen(backlog)
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


def why_not_bound(address: str | tuple[str, int]) -> str:
    """What the system says to an address, or to the path of a UNIX socket, where grpcio said only that it failed."""
    kind = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    try:
        with socket.socket(kind, socket.SOCK_STREAM) as tried:
            tried.bind(address)
    except (OSError, OverflowError) as error:
        return str(error)
    if isinstance(address, str):
        Path(address).unlink()  # made by this attempt
    return "grpcio cannot bind to it"


def cannot_listen_on_path(path: Path, reason: str) -> UnavailableError:
    """A UNIX socket that is not to be had."""
    return UnavailableError(
        f"cannot listen on unix:{path}: {reason}",
        hint="--grpc_socket_path takes a new file in a folder that is there and can be written, 107 bytes at most",
    )
