"""What carries requests to an endpoint, and who hears of them: chosen by protocol, once, by what works here."""

import queue
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, Protocol

from toolkit.core.selfcheck import Say, fault_in_time
from toolkit.measure.load import outcomes
from toolkit.wire.messages import Endpoint
from toolkit.wire.messages import Protocol as Wire

CORE = "grpcio's core"
_CHECK_TIMEOUT_S = 5.0
_ECHO, _NOWHERE = "/check/Echo", "/check/Nowhere"
_UNIMPLEMENTED = outcomes.of_code(12)
_TOLD = ("tfx-compute-ns", "7")


class Sender(Protocol):
    """What carries requests to one endpoint.

    Args:
        finished: requests that are over.
        lost: connections that stood, were lost, and were made again.
    """

    finished: int
    lost: int

    def send(self, number: int, path: str, body: bytes) -> None:
        """Sends a request without waiting for its answer; its listener hears of the rest."""

    def close(self) -> None:
        """Ends the connections, and what is still in flight with them."""


class Listener(Protocol):
    """Who hears what becomes of requests; called from a sender's thread."""

    def sending(self, number: int) -> None:
        """The request leaves now."""

    def finished(self, number: int, outcome: int, told: Any, content: bytes | str) -> None:
        """It is over.

        Args:
            number: of the request.
            outcome: see outcomes.py.
            told: what the server said of its own time; None where it said nothing.
            content: the answer's body, or what went wrong.
        """


def open_sender(endpoint: Endpoint, connections: int, timeout_s: float, listener: Listener) -> Sender:
    """What carries requests to an endpoint by its protocol."""
    return _KINDS[endpoint.protocol](endpoint, connections, timeout_s, listener)


def client_of(protocol: Wire) -> str:
    """What requests of a protocol are sent by, for a report."""
    if protocol is Wire.REST:
        return "HTTP/1.1 on uvloop"
    fault = self_check()
    return CORE if fault is None else f"grpcio's public API, slower: its core does not work here ({fault})"


@cache
def self_check() -> str | None:
    """What is wrong with the sender on grpcio's core in this process; None where calls come back as they should."""
    # It leans on what is not grpcio's public interface: a call that never comes back is one of the ways to fail.
    return fault_in_time(_check, 2 * _CHECK_TIMEOUT_S, "load-check")


def _check(say: Say) -> None:
    import grpc

    from toolkit.measure.load.core_sender import CoreSender

    with ThreadPoolExecutor(1) as pool:
        server = grpc.server(pool, handlers=(_Echo(),))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        heard = _Heard()
        sender = CoreSender(Endpoint(f"127.0.0.1:{port}", Wire.GRPC), 1, _CHECK_TIMEOUT_S, heard)
        fault = _fault_of(sender, heard)
        say(fault)
        if fault is None:
            sender.close()  # one that broke may not come back from it
        server.stop(0.0).wait(_CHECK_TIMEOUT_S)


def _fault_of(sender: Sender, heard: "_Heard") -> str | None:
    sent = {1: (_ECHO, b"one"), 2: (_ECHO, b"two"), 3: (_NOWHERE, b"three")}
    for number, (path, body) in sent.items():
        sender.send(number, path, body)
    found = heard.collect(len(sent))
    wanted = {1: (outcomes.WELL, True, b"one"), 2: (outcomes.WELL, True, b"two"), 3: (_UNIMPLEMENTED, False, b"")}
    return None if found == wanted else f"three calls came back as {found}"


class _Heard:
    """What became of a few requests."""

    def __init__(self) -> None:
        self._over: queue.SimpleQueue[tuple[int, tuple[int, bool, bytes]]] = queue.SimpleQueue()

    def sending(self, number: int) -> None:
        """Nothing to do."""

    def finished(self, number: int, outcome: int, told: Any, content: bytes | str) -> None:
        """Keeps outcome, whether the server's word came along, and the body of an answer."""
        body = content if isinstance(content, bytes) else b""
        self._over.put((number, (outcome, _TOLD in tuple(map(tuple, told or ())), body)))

    def collect(self, count: int) -> dict[int, tuple[int, bool, bytes]] | None:
        """What so many came to; None where one never ended."""
        try:
            return dict(self._over.get(timeout=_CHECK_TIMEOUT_S) for _ in range(count))
        except queue.Empty:
            return None


class _Echo:
    """A gRPC service that answers with what it is asked. It is a grpc.GenericRpcHandler by its one method."""

    def service(self, details: Any) -> Any:
        """The handler of the one method there is."""
        import grpc

        return grpc.unary_unary_rpc_method_handler(self._answer) if details.method == _ECHO else None

    @staticmethod
    def _answer(body: bytes, context: Any) -> bytes:
        context.set_trailing_metadata((_TOLD,))
        return body


def _grpc(*arguments: Any) -> Sender:
    if self_check() is None:
        from toolkit.measure.load.core_sender import CoreSender  # late: REST needs no gRPC

        return CoreSender(*arguments)
    from toolkit.measure.load.grpc_sender import GrpcSender

    return GrpcSender(*arguments)


def _rest(*arguments: Any) -> Sender:
    from toolkit.measure.load.rest_sender import RestSender  # late: gRPC needs no event loop

    return RestSender(*arguments)


_KINDS: Mapping[Wire, Callable[..., Sender]] = {Wire.GRPC: _grpc, Wire.REST: _rest}
