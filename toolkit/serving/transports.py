"""Which of the two gRPC transports a server takes: the fast one, where it works with the grpcio that is installed."""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import grpc

from toolkit.core.selfcheck import Say, fault_in_time
from toolkit.serving.callers import Caller
from toolkit.serving.metrics import Metrics
from toolkit.serving.rpc_calls import Answering, Asked, RpcAnswer
from toolkit.serving.rpc_server import RpcListening, RpcServer
from toolkit.serving.timing import Timing
from toolkit.serving.transport import PUBLIC, Capacity
from toolkit.wire import rpc
from toolkit.wire.fast_predict import Form, PredictReader
from toolkit.wire.messages import Target

log = logging.getLogger(__name__)
_CHECK_TIMEOUT_S = 5.0


def rpc_server(transport: str) -> Callable[[Answering, RpcListening, Capacity], RpcServer]:
    """The class of a transport; the public one where the fast one does not work here, and says so."""
    if transport == PUBLIC:
        return RpcServer
    fault = self_check()
    if fault is None:
        from toolkit.serving.fast_rpc_server import FastRpcServer

        return FastRpcServer
    log.warning("--transport fast does not work with grpcio %s (%s): taking public", grpc.__version__, fault)
    return RpcServer


@cache
def self_check() -> str | None:
    """What is wrong with the fast transport on this machine; None where calls come back as they should."""
    # It leans on what is not grpcio's public interface: a call that never comes back is one of the ways to fail.
    return fault_in_time(_check, _CHECK_TIMEOUT_S, "rpc-check")


def _check(say: Say) -> None:
    server = None
    try:
        from toolkit.serving.fast_rpc_server import FastRpcServer

        server = FastRpcServer(_Echo(), RpcListening(port=0), Capacity(1))
        server.start()
        with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            fault = _fault_of(channel)
        server.stop(0.0)
    except Exception as error:  # noqa: BLE001  # whatever another grpcio does differently
        fault = f"{type(error).__name__}: {error}"
    say(fault)
    if fault is not None:
        # The core waits for all that it was asked, in the midst of whatever frees its objects, even as a process ends.
        # So a server that broke is never freed: this thread keeps it.
        threading.Event().wait()


def _fault_of(channel: Any) -> str | None:
    predict = channel.unary_unary(rpc.PREDICT)
    # The first one goes to the pool, and the next ones, now known to be short, are answered where they arrive.
    for body in (b"one", b"two", b"two"):
        answer, call = predict.with_call(body, timeout=_CHECK_TIMEOUT_S)
        if answer != body or ("tfx-artifact", "echo") not in call.trailing_metadata():
            return f"{body!r} came back as {answer!r}"
    for method, wanted in ((rpc.CLASSIFY, b"three"), ("/unknown/Method", grpc.StatusCode.UNIMPLEMENTED)):
        try:
            found: Any = channel.unary_unary(method)(b"three", timeout=_CHECK_TIMEOUT_S)
        except grpc.RpcError as error:
            found = error.code()
        if found != wanted:
            return f"{method} was answered with {found!r}"
    return None


_FORM = Form((), Target("echo"), (), (), ("echo", None, None, "", 0))


class _SameReader(PredictReader):
    """Takes any bytes for one usual request."""

    def read(self, body: bytes) -> Form | None:
        """The same form always."""
        return _FORM


@dataclass
class _Echo:
    """Answers with what was asked."""

    reader: PredictReader = field(default_factory=_SameReader)
    metrics: Metrics = field(default_factory=Metrics)

    def knows(self, method: str) -> bool:
        """Whether there is such a method."""
        return method != "/unknown/Method"

    def answer(self, method: str, body: bytes, timing: Timing, caller: Caller | None = None) -> RpcAnswer:
        """The same bytes."""
        timing.artifact = "echo"
        return RpcAnswer(body, None, timing.as_metadata())

    def answer_together(self, calls: Sequence[Asked]) -> list[RpcAnswer]:
        """The same for each."""
        return [self.answer(rpc.PREDICT, asked.body, asked.timing) for asked in calls]
