"""Sends REST requests without waiting for their answers: HTTP/1.1 on as many connections as are needed, one loop."""

import asyncio
import threading
from collections import deque
from http import HTTPStatus
from typing import Any

import httptools
import uvloop

from toolkit.measure.load import outcomes
from toolkit.measure.load.sending import Listener
from toolkit.runtimes.served import tls_context
from toolkit.wire import rest
from toolkit.wire.codes import Code
from toolkit.wire.messages import Endpoint

_REFUSED, _LATE = outcomes.of_code(Code.UNAVAILABLE), outcomes.of_code(Code.DEADLINE_EXCEEDED)
_TIMING = b"server-timing"
_SHOWN_BYTES = 300


class RestSender:
    """Requests to one endpoint; those that find no free connection, and may open no other, wait for one."""

    def __init__(self, endpoint: Endpoint, connections: int, timeout_s: float, listener: Listener) -> None:
        self.endpoint, self.timeout_s, self.listener = endpoint, timeout_s, listener
        self.finished = self.lost = 0
        self._most, self._open = connections, 0
        self._idle: deque[_Connection] = deque()
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._heads: dict[tuple[str, int], bytes] = {}
        self._tls = tls_context(endpoint) if endpoint.tls else None
        self._loop = uvloop.new_event_loop()
        self._opening: set[asyncio.Task[None]] = set()
        self._standing: set[_Connection] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="load-rest", daemon=True)
        self._thread.start()

    def send(self, number: int, path: str, body: bytes) -> None:
        """Sends a request; its listener hears of the rest. May be called from any thread."""
        self._loop.call_soon_threadsafe(self._begin, number, self._head(path, len(body)) + body)

    def close(self) -> None:
        """Ends the connections and the loop."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.run_until_complete(self._end())
        self._loop.close()

    async def _end(self) -> None:
        for task in self._opening:
            task.cancel()
        await asyncio.gather(*self._opening, return_exceptions=True)
        for connection in list(self._standing):
            connection.abort()
        await asyncio.sleep(0)  # which is when the loop closes them

    def _head(self, path: str, size: int) -> bytes:
        found = self._heads.get((path, size))
        if found is None:
            host = self.endpoint.address
            text = (
                f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {rest.JSON}\r\nContent-Length: {size}\r\n\r\n"
            )
            found = self._heads[path, size] = text.encode()
        return found

    def _begin(self, number: int, content: bytes) -> None:
        if self._idle:
            self._idle.pop().start(number, content)
            return
        self._waiting.append((number, content))
        if self._open < self._most:
            self._open += 1
            task = self._loop.create_task(self._connect())
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _connect(self) -> None:
        host, _, port = self.endpoint.address.rpartition(":")
        try:
            connecting = self._loop.create_connection(
                lambda: _Connection(self), host.strip("[]"), int(port), ssl=self._tls
            )
            await asyncio.wait_for(connecting, self.timeout_s)
        except (OSError, TimeoutError) as error:
            self._open -= 1
            if self._waiting:
                number, _ = self._waiting.popleft()
                self.listener.sending(number)
                outcome = _LATE if isinstance(error, TimeoutError) else _REFUSED
                self.over(number, outcome, None, str(error) or "no connection in time")

    def stands(self, connection: "_Connection") -> None:
        """A connection was made."""
        self._standing.add(connection)
        self.free(connection)

    def free(self, connection: "_Connection") -> None:
        """A connection may take the next request."""
        if self._waiting:
            connection.start(*self._waiting.popleft())
        else:
            self._idle.append(connection)

    def gone(self, connection: "_Connection", *, ours: bool) -> None:
        """A connection has ended."""
        self._open -= 1
        self._standing.discard(connection)
        self.lost += not ours
        if connection in self._idle:
            self._idle.remove(connection)

    def over(self, number: int, outcome: int, told: Any, content: bytes | str) -> None:
        """A request is over."""
        self.finished += 1
        self.listener.finished(number, outcome, told, content)

    def later(self, what: Any) -> asyncio.TimerHandle:
        """Calls something when a request has waited too long."""
        return self._loop.call_later(self.timeout_s, what)


class _Connection(asyncio.Protocol):
    """One connection, which carries one request at a time."""

    def __init__(self, sender: RestSender) -> None:
        self._sender = sender
        self._transport: Any = None
        self._number: int | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._ours = False
        self._told: str | None = None
        self._parts: list[bytes] = []

    def connection_made(self, transport: Any) -> None:
        """It stands."""
        self._transport = transport
        self._sender.stands(self)

    def start(self, number: int, content: bytes) -> None:
        """Sends a request."""
        self._number, self._told, self._parts = number, None, []
        self._parser = httptools.HttpResponseParser(self)
        self._timer = self._sender.later(self._too_late)
        self._sender.listener.sending(number)
        self._transport.write(content)

    def data_received(self, data: bytes) -> None:
        """Bytes of an answer."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._end(_REFUSED, f"no HTTP answer: {error}")
            self.abort()

    def on_header(self, name: bytes, value: bytes) -> None:
        """The parser met a header."""
        if name.lower() == _TIMING:
            self._told = value.decode("latin-1")

    def on_body(self, part: bytes) -> None:
        """The parser met a part of the body."""
        self._parts.append(part)

    def on_message_complete(self) -> None:
        """An answer is whole."""
        status, stays = self._parser.get_status_code(), self._parser.should_keep_alive()
        body = b"".join(self._parts)
        if status == HTTPStatus.OK:
            self._end(outcomes.WELL, body)
        else:
            self._end(outcomes.of_status(status), rest.error_of(status, body).message[:_SHOWN_BYTES])
        if stays:
            self._sender.free(self)
        else:
            self.abort()

    def connection_lost(self, error: Exception | None) -> None:
        """It is gone, and a request on it with it."""
        self._sender.gone(self, ours=self._ours)
        if self._number is not None:
            self._end(_REFUSED, str(error) if error else "the server closed the connection")

    def _too_late(self) -> None:
        self._end(_LATE, "no answer in time")
        self.abort()

    def abort(self) -> None:
        """Ends it without a word to the server."""
        self._ours = True
        self._transport.abort()

    def _end(self, outcome: int, content: bytes | str) -> None:
        number, self._number = self._number, None
        if self._timer is not None:
            self._timer.cancel()
        if number is not None:
            self._sender.over(number, outcome, self._told, content)
