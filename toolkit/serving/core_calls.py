"""A Predict on grpcio's core: what is known of it, and the operations that answer it."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from grpc._cython import cygrpc

from toolkit.serving.callers import Caller
from toolkit.serving.paces import Pace
from toolkit.serving.rpc_calls import Asked, RpcAnswer
from toolkit.serving.timing import Timing
from toolkit.wire.codes import Code
from toolkit.wire.rpc import RpcStatus

NO_FLAGS = 0
_HEADERS = cygrpc.SendInitialMetadataOperation((), NO_FLAGS)


@dataclass(slots=True)
class Pooled:
    """How far a call on the pool has come.

    Args:
        due: what the core has still to report of it; at 0 it is over.
        over: whether its caller has its answer, or has gone.
    """

    due: int = 1
    over: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(eq=False, slots=True)
class Call:
    """One Predict from its headers to its end; as the tag of an operation, it awaits its message.

    Args:
        deadline_ns: when the caller stops waiting, by time.perf_counter_ns.
        asked: what it asks for, where that is of a usual form.
        pace: how long such calls take.
        pooled: what a call needs that goes to the pool.
    """

    core: Any
    arrived_ns: int
    deadline_ns: int | None
    body: bytes = b""
    asked: Asked | None = None
    pace: Pace | None = None
    pooled: Pooled | None = None


@dataclass(eq=False, slots=True)
class OtherCall(Call):
    """One of another method than Predict; as the tag of an operation, it awaits its message."""

    method: str = ""
    caller: Caller = field(default_factory=Caller)


@dataclass(slots=True)
class Step:
    """What to do when the core reports: the tag of an operation."""

    go: Callable[[Call], None]
    call: Call


def nothing_sent(call: Call, method: str) -> RpcAnswer:
    """The answer for a caller that ended its half of a call without a message, in grpcio's words."""
    details = f'"{method}" requires exactly one request message.'
    timing = Timing(queue_ns=time.perf_counter_ns() - call.arrived_ns)
    return RpcAnswer(b"", RpcStatus(Code.UNIMPLEMENTED, details), timing.as_metadata())


def operations(answer: RpcAnswer) -> tuple[Any, ...]:
    """What sends an answer."""
    if answer.status is None:
        sent = cygrpc.SendMessageOperation(answer.body, NO_FLAGS)
        return _HEADERS, sent, cygrpc.SendStatusFromServerOperation(answer.metadata, 0, b"", NO_FLAGS)
    code, details = int(answer.status.code), answer.status.details.encode(errors="backslashreplace")
    return _HEADERS, cygrpc.SendStatusFromServerOperation(answer.metadata, code, details, NO_FLAGS)
