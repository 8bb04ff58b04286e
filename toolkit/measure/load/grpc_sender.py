"""Sends gRPC calls without waiting for their answers: grpcio's own core, one level below its public API.

The public API takes a lock, a condition and two thread hand-overs a call; here one thread sends and one takes what
comes back. It leans on parts of grpcio that are not public (as serving/fast_rpc_server.py does); tests hold them.
"""

import threading
import time
from typing import Any, Protocol

from grpc._cython import cygrpc

from toolkit.measure.load import outcomes
from toolkit.runtimes.served import tls_contents
from toolkit.wire.codes import Code
from toolkit.wire.messages import Endpoint

_NO_FLAGS = 0
_WATCH_S = 0.5
# One connection a channel, one attempt a request: what fails is counted, not tried again behind our back.
_ARGUMENTS: tuple[tuple[str, int], ...] = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
)


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


class GrpcSender:
    """Calls to one endpoint, spread over its connections."""

    def __init__(self, endpoint: Endpoint, connections: int, timeout_s: float, listener: Listener) -> None:
        self._listener, self._timeout_s = listener, timeout_s
        self.finished = self.lost = 0
        self._closing = False
        limits = [(f"grpc.max_{way}_message_length", endpoint.max_message_bytes) for way in ("receive", "send")]
        credentials = _credentials(endpoint)
        self._channels = [
            # Channels of equal arguments would share what they share; a number tells them apart.
            cygrpc.Channel(endpoint.address.encode(), (*_ARGUMENTS, *limits, ("tfx.connection", number)), credentials)
            for number in range(connections)
        ]
        self._counting = threading.Lock()
        self._threads = [
            threading.Thread(target=work, args=(channel,), name="load-receive", daemon=True)
            for channel in self._channels
            for work in (self._receive, self._watch)
        ]
        for thread in self._threads:
            thread.start()

    def send(self, number: int, path: str, body: bytes) -> None:
        """Sends a request; its listener hears of the rest."""
        operations = (
            cygrpc.SendInitialMetadataOperation((), _NO_FLAGS),
            cygrpc.SendMessageOperation(body, _NO_FLAGS),
            cygrpc.SendCloseFromClientOperation(_NO_FLAGS),
            cygrpc.ReceiveInitialMetadataOperation(_NO_FLAGS),
            cygrpc.ReceiveMessageOperation(_NO_FLAGS),
            cygrpc.ReceiveStatusOnClientOperation(_NO_FLAGS),
        )
        channel = self._channels[number % len(self._channels)]
        self._listener.sending(number)
        deadline = time.time() + self._timeout_s  # the core's own clock of deadlines is the system's
        channel.integrated_call(_NO_FLAGS, path.encode(), None, deadline, (), None, ((operations, number),), None)

    def close(self) -> None:
        """Ends the connections, and what is still in flight with them."""
        self._closing = True
        for channel in self._channels:
            channel.close(cygrpc.StatusCode.cancelled, "the load is over")
        for thread in self._threads:
            thread.join(5)

    def _receive(self, channel: Any) -> None:
        ended = {cygrpc.CompletionType.queue_shutdown}
        while True:
            try:
                event = channel.next_call_event()
            except ValueError:  # the channel was closed before this thread asked
                return
            if event.completion_type in ended or self._closing:
                return
            operations = getattr(event, "batch_operations", None)
            if operations is None:
                continue
            self._take(event.tag, operations[4].message(), operations[5])

    def _take(self, number: int, body: bytes | None, status: Any) -> None:
        code = int(status.code())
        if code == Code.OK and body is not None:
            self._listener.finished(number, outcomes.WELL, status.trailing_metadata(), body)
        else:
            outcome = outcomes.of_code(code or int(Code.INTERNAL))
            self._listener.finished(number, outcome, None, str(status.details() or ""))
        with self._counting:
            self.finished += 1

    def _watch(self, channel: Any) -> None:
        """Counts how often a connection that stood is made again."""
        state = channel.check_connectivity_state(False)
        was_ready = state == cygrpc.ConnectivityState.ready
        while not self._closing:
            try:
                event = channel.watch_connectivity_state(state, time.time() + _WATCH_S)
                found = channel.check_connectivity_state(False)
            except ValueError:  # closed meanwhile
                return
            if event.success and found != state:
                state = found
                if state == cygrpc.ConnectivityState.ready:
                    with self._counting:
                        self.lost += was_ready
                    was_ready = True


def _credentials(endpoint: Endpoint) -> Any:
    if not endpoint.tls:
        return None
    import grpc

    return grpc.ssl_channel_credentials(*tls_contents(endpoint))._credentials
