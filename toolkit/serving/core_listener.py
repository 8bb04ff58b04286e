"""Which of the two listeners of grpcio's core this process has: it can be chosen before the core is loaded only."""

import os
import sys

# Only with this poller of the core's is a socket everybody's; with others it belongs to one queue of the server.
_STRATEGY, _EVERYBODYS = "GRPC_POLL_STRATEGY", ("", "all", "epoll1")
_VARIABLE, _OWN_POLLING = "GRPC_EXPERIMENTS", "event_engine_listener"
_OFF = f"-{_OWN_POLLING}"


def choose_polled_sockets() -> bool:
    """Has the core leave its sockets to the threads that poll its queues; False where it is too late to say so.

    By itself it reads and writes them on threads of its own and hands over what it has read: a call that comes alone
    then costs four switches from thread to thread (docs/performance.md). An older core or a newer one that has no such
    choice goes on as it is used to. Processes started from here are told the same.
    """
    told = os.environ.get(_VARIABLE, "")
    if "grpc._cython.cygrpc" in sys.modules or _OWN_POLLING in told or not _are_everybodys():
        return polled_sockets()
    os.environ[_VARIABLE] = f"{told},{_OFF}" if told else _OFF
    return True


def polled_sockets() -> bool:
    """Whether the core was told to leave its sockets to the threads that poll, to any of them."""
    return _OFF in os.environ.get(_VARIABLE, "").split(",") and _are_everybodys()


def _are_everybodys() -> bool:
    return sys.platform == "linux" and os.environ.get(_STRATEGY, "") in _EVERYBODYS
