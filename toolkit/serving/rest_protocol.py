"""HTTP connections whose short Predicts are answered by the thread that reads them, without ASGI and without a pool.

An ASGI application gets a task and two queues for every request, and a pool two hand-overs between threads; together
they cost several times what a small model does. So a usual Predict whose kind was short of late (paces.py) is answered
as soon as its last byte is there. Everything else goes on through uvicorn's own code, which this module extends. It
leans on parts of uvicorn that are not public, so rest_check.py tries it before a server takes it.
"""

import time
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from toolkit.serving.rest_calls import Asked
from toolkit.serving.rest_short import Header, ShortCalls
from toolkit.serving.timing import Timing
from toolkit.wire.rest import Answer, RestCall

# Longer bodies take longer than a hand-over costs, even to read.
_LONGEST = 1 << 20
# What a header with one of these asks for is not usual.
_UNUSUAL = frozenset({b"content-encoding", b"transfer-encoding", b"expect", b"upgrade"})


class DirectProtocol(HttpToolsProtocol):
    """One connection. A usual Predict is held back from uvicorn until its whole body is there; any other is not."""

    def __init__(self, *, short: ShortCalls, **given: Any) -> None:
        super().__init__(**given)
        self._short = short
        self._call: RestCall | None = None  # of the request that is being read
        self._asked: Asked | None = None  # that waits for its answer
        self._held: list[Header] = []
        self._parts: list[bytes] = []
        self._reading = False
        self._answered_s = 0.0

    # What the parser reports

    def on_message_begin(self) -> None:
        """A request begins, before or after the last one was answered."""
        if self._asked is not None:
            self._short.flush()
        self._reading = True
        self.url, self._held, self._parts, self._call = b"", [], [], None

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header."""
        self._held.append((name, value))

    def on_headers_complete(self) -> None:
        """The headers are there: whether this is a usual Predict."""
        if self.parser.get_method() == b"POST" and self._plain():
            self._call = self._short.call_of(self.url)
        if self._call is None:
            self._hand_over()

    def _plain(self) -> bool:
        if self._answering() or self._short.draining or self.flow.write_paused or not self.parser.should_keep_alive():
            return False
        length = b""
        for name, value in self._held:
            lower = name.lower()
            if lower in _UNUSUAL:
                return False
            if lower == b"content-length":
                length = value
        return length.isdigit() and int(length) <= _LONGEST

    def _hand_over(self) -> None:
        """Lets uvicorn begin with what was held back."""
        url = self.url
        super().on_message_begin()
        self.url = url
        for name, value in self._held:
            super().on_header(name, value)
        super().on_headers_complete()
        if self._short.draining:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        if self._call is None:
            super().on_body(body)
        else:
            self._parts.append(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._reading = False
        if self._call is None:
            super().on_message_complete()
            return
        call, self._call = self._call, None
        body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        pace = self._short.pace_of(call, body)
        if not (self._short.inline and pace.short):
            self._hand_over()
            super().on_body(body)
            super().on_message_complete()
            return
        now_ns = time.perf_counter_ns()
        timing = Timing(queue_ns=-now_ns, deadline_ns=now_ns + int(self._short.timeout_s * 1e9))
        self._asked = Asked(call, body, timing)
        self._short.add(self, self._asked, pace)

    # What is answered

    def answer(self, answer: Answer, timing: Timing) -> None:
        """Sends what was asked for."""
        self._asked = None
        self._answered_s = self.loop.time()
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        first = self._short.first_lines(answer.status, answer.content_type, self.server_state.default_headers)
        own = f"server-timing: {timing.as_server_timing()}\r\ncontent-length: {len(answer.body)}\r\n".encode("latin-1")
        end = b"connection: close\r\n\r\n" if self._short.draining else b"\r\n"
        self.transport.write(b"".join((first, own, end, answer.body)))
        if self._short.draining:
            self.transport.close()

    # How a connection ends

    def close_if_idle(self, since_s: float) -> None:
        """Closes a connection on which nothing was asked since."""
        if self._answered_s and self._answered_s < since_s:
            self._end()

    def shutdown(self) -> None:
        """The server ends: what is in flight is answered, and what is asked a moment later too."""
        if self._answering():
            self.cycle.keep_alive = False
        self.loop.call_later(self._short.linger_s, self._end)

    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _end(self) -> None:
        if not self._answering() and not self._reading and self._asked is None:
            self.transport.close()
