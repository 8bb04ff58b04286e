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
_FAREWELL = b"/farewell"  # never sent: its deadline has passed
_WATCH_S = 0.5


class CoreSender(Tally):
    """Calls to one endpoint, spread over its connections."""

    def __init__(self, endpoint: Endpoint, connections: int, timeout_s: float, listener: Listener) -> None:
        super().__init__(listener)
        self._timeout_s = timeout_s
        self._closing = False
        self._failure: Exception | None = None
        found = credentials_of(endpoint)
        credentials = None if found is None else found._credentials
        self._channels = [
            cygrpc.Channel(endpoint.address.encode(), arguments_of(endpoint, number), credentials)
            for number in range(connections)
        ]
        self._sent = [0] * connections  # each number is written by the sending thread alone
        self._receiving = [self._thread(self._receive, number) for number in range(connections)]
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
        at = number % len(self._channels)
        self._listener.sending(number)
        deadline = time.time() + self._timeout_s  # the core's own clock of deadlines is the system's
        self._call(at, path.encode(), deadline, operations, number)
        self._sent[at] += 1

    def _call(self, at: int, path: bytes, deadline: float, operations: tuple[Any, ...], tag: Any) -> None:
        self._channels[at].integrated_call(_NO_FLAGS, path, None, deadline, (), None, ((operations, tag),), None)

    def close(self) -> None:
        """Ends the connections, and what is still in flight with them; nothing is sent any more."""
        if self._closing:
            return
        # A channel frees its queue as it closes, and whoever asks that queue afterwards reads freed memory. So the
        # thread that receives has to know the last event: that of one call more, made once closing has begun.
        for at in range(len(self._channels)):
            self._sent[at] += 1
        self._closing = True
        status = (cygrpc.ReceiveStatusOnClientOperation(_NO_FLAGS),)
        for at, channel in enumerate(self._channels):
            self._call(at, _FAREWELL, time.time(), (cygrpc.SendInitialMetadataOperation((), _NO_FLAGS), *status), None)
            channel.close(cygrpc.StatusCode.cancelled, "the load is over")
        for thread in self._receiving:
            thread.join(5)  # those that watch end by themselves, up to half a second later
        if self._failure is not None:
            raise self._failure

    @staticmethod
    def _thread(work: Callable[[Any], None], what: Any) -> threading.Thread:
        thread = threading.Thread(target=work, args=(what,), name="load-receive", daemon=True)
        thread.start()
        return thread

    def _receive(self, at: int) -> None:
        channel, came = self._channels[at], 0
        while not (self._closing and came == self._sent[at]):
            event = channel.next_call_event()
            if event.completion_type == cygrpc.CompletionType.queue_shutdown:
                return
            operations = getattr(event, "batch_operations", None)
            if operations is None:  # where processes may be forked, the core looks up from its waiting now and then
                continue
            came += 1
            if self._closing:
                continue
            status = operations[5]
            told, details = status.trailing_metadata(), str(status.details() or "")
            try:
                self.over(event.tag, int(status.code()), operations[4].message(), told, details)
            except Exception as error:  # noqa: BLE001  # raised on closing, which waits until all events are taken
                self._failure = self._failure or error

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
