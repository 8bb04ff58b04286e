"""Sends gRPC calls without waiting for their answers: grpcio's own core, one level below its public API.

The public API takes a lock, a condition and two thread hand-overs a call; here one thread sends and one takes what
comes back. It leans on parts of grpcio that are not public (as serving/fast_rpc_server.py does), so sending.py asks
`self_check` before it takes this one.
"""

import threading
import time
from collections.abc import Callable
from typing import Any

from grpc._cython import cygrpc

from toolkit.measure.load.grpc_sender import Tally, arguments_of, credentials_of
from toolkit.measure.load.sending import Listener
from toolkit.wire.messages import Endpoint

_NO_FLAGS = 0
_WATCH_S = 0.5


class CoreSender(Tally):
    """Calls to one endpoint, spread over its connections."""

    def __init__(self, endpoint: Endpoint, connections: int, timeout_s: float, listener: Listener) -> None:
        super().__init__(listener)
        self._timeout_s = timeout_s
        self._closing = False
        found = credentials_of(endpoint)
        credentials = None if found is None else found._credentials
        self._channels = [
            cygrpc.Channel(endpoint.address.encode(), arguments_of(endpoint, number), credentials)
            for number in range(connections)
        ]
        self._receiving = [self._thread(self._receive, channel) for channel in self._channels]
        for channel in self._channels:
            self._thread(self._watch, channel)

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
        for thread in self._receiving:
            thread.join(5)  # those that watch end by themselves, up to half a second later

    @staticmethod
    def _thread(work: Callable[[Any], None], channel: Any) -> threading.Thread:
        thread = threading.Thread(target=work, args=(channel,), name="load-receive", daemon=True)
        thread.start()
        return thread

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
            status = operations[5]
            told, details = status.trailing_metadata(), str(status.details() or "")
            self.over(event.tag, int(status.code()), operations[4].message(), told, details)

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
                    if was_ready:
                        self.count_lost()
                    was_ready = True
