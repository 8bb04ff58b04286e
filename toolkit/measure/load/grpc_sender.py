"""Sends gRPC calls without waiting for their answers, by grpcio's public API: what is taken where its core fails us."""

import threading
from functools import partial
from typing import Any

import grpc

from toolkit.measure.load import outcomes
from toolkit.measure.load.sending import Listener
from toolkit.runtimes.served import tls_contents
from toolkit.wire.codes import Code
from toolkit.wire.messages import Endpoint

# One connection a channel, one attempt a request: what fails is counted, not tried again behind our back.
_ARGUMENTS: tuple[tuple[str, int], ...] = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
)


def arguments_of(endpoint: Endpoint, number: int) -> tuple[tuple[str, int], ...]:
    """The options of one of an endpoint's channels."""
    limits = [(f"grpc.max_{way}_message_length", endpoint.max_message_bytes) for way in ("receive", "send")]
    # Channels of equal arguments would share what they share; a number tells them apart.
    return (*_ARGUMENTS, *limits, ("tfx.connection", number))


def credentials_of(endpoint: Endpoint) -> grpc.ChannelCredentials | None:
    """What an endpoint's TLS files come to; None without TLS."""
    return grpc.ssl_channel_credentials(*tls_contents(endpoint)) if endpoint.tls else None


class Tally:
    """Tells a listener how calls ended, and counts them.

    Args:
        listener: who hears.
    """

    def __init__(self, listener: Listener) -> None:
        self._listener, self._counting = listener, threading.Lock()
        self.finished = self.lost = 0

    def over(self, number: int, code: int, body: bytes | None, told: Any, details: str) -> None:
        """A call is over, with a status and perhaps an answer."""
        if code == Code.OK and body is not None:
            self._listener.finished(number, outcomes.WELL, told, body)
        else:
            self._listener.finished(number, outcomes.of_code(code or int(Code.INTERNAL)), None, details)
        with self._counting:
            self.finished += 1

    def count_lost(self) -> None:
        """A connection that stood stands again."""
        with self._counting:
            self.lost += 1


class GrpcSender(Tally):
    """Calls to one endpoint, spread over its connections."""

    def __init__(self, endpoint: Endpoint, connections: int, timeout_s: float, listener: Listener) -> None:
        super().__init__(listener)
        self._timeout_s = timeout_s
        self._closing = False
        self._channels = [_channel(endpoint, number) for number in range(connections)]
        self._methods: list[dict[str, Any]] = [{} for _ in self._channels]
        for channel in self._channels:
            channel.subscribe(_Standing(self).changed)

    def send(self, number: int, path: str, body: bytes) -> None:
        """Sends a request; its listener hears of the rest."""
        at = number % len(self._channels)
        method = self._methods[at].get(path)
        if method is None:
            method = self._methods[at][path] = self._channels[at].unary_unary(path)
        self._listener.sending(number)
        method.future(body, timeout=self._timeout_s).add_done_callback(partial(self._ended, number))

    def close(self) -> None:
        """Ends the connections, and what is still in flight with them."""
        self._closing = True
        for channel in self._channels:
            channel.close()

    def _ended(self, number: int, call: Any) -> None:
        if self._closing:
            return
        code = int(call.code().value[0])
        body = call.result() if code == Code.OK else None
        self.over(number, code, body, call.trailing_metadata(), call.details() or "")


class _Standing:
    """Whether a connection has stood before, so that one which stands again was lost in between."""

    def __init__(self, tally: Tally) -> None:
        self._tally, self._stood = tally, False

    def changed(self, state: grpc.ChannelConnectivity) -> None:
        """A connection's state is another one."""
        if state is grpc.ChannelConnectivity.READY:
            if self._stood:
                self._tally.count_lost()
            self._stood = True


def _channel(endpoint: Endpoint, number: int) -> grpc.Channel:
    credentials, options = credentials_of(endpoint), arguments_of(endpoint, number)
    if credentials is None:
        return grpc.insecure_channel(endpoint.address, options=options)
    return grpc.secure_channel(endpoint.address, credentials, options=options)
