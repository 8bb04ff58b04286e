"""HTTP connections whose short Predicts are answered by the thread that reads them, without ASGI and without a pool.

An ASGI application gets a task and two queues for every request, and a pool two hand-overs between threads; together
they cost several times what a small model does. So a usual Predict whose kind was short of late (paces.py) is answered
as soon as its last byte is there. Everything else goes on through uvicorn's own code, which this module extends. It
leans on parts of uvicorn that are not public, so rest_check.py tries it before a server takes it.

HTTP is read by uvicorn's parser alone. But clients send the same head with every request, to the byte: what the parser
said of one is remembered, and it need not read the next one.
"""

import time
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from toolkit.serving.rest_calls import Asked
from toolkit.serving.rest_short import SENT_URL, Head, Header, ShortCalls
from toolkit.serving.timing import Timing
from toolkit.wire import rest
from toolkit.wire.rest import Answer, RestCall

# Longer bodies take longer than a hand-over costs, even to read.
_LONGEST = 1 << 20
# What a header with one of these asks for is not usual.
_HEAD_END = b"\r\n\r\n"
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
        self._length = 0
        self._reading = False
        self._head_due = False  # a request began whose head has not ended
        self._answered_s = 0.0
        # Whether the parser has nothing of a request, and uvicorn's own code none that it began.
        self._between = True
        self._begun = 0  # requests, in what was received last
        self._received = b""  # what the parser reads just now
        self._head: Head | None = None  # of a request that the parser does not see, as long as its body comes

    # What comes in

    def data_received(self, data: bytes) -> None:
        """Bytes: a request whose head is known, or something for the parser."""
        if self._head is not None:
            self._parts.append(data)
            self._go_on(self._head)
            return
        between, self._begun = self._between, 0
        end = data.find(_HEAD_END) + len(_HEAD_END) if between else 0
        head = self._short.heads.get(data[:end]) if between else None
        if head is not None and self._free():
            self._reading, self._head, self._parts = True, head, [data[end:]]
            self._go_on(head)
            return
        self._received = data
        super().data_received(data)
        self._received = b""
        if between and self._begun == 1 and self._call is not None and b"".join(self._parts) == data[end:]:
            # The parser took for the body what stands behind the first empty line, so the head is what is before it.
            self._short.remember(data[:end], Head(data[:end], self._call, self._length))

    def _go_on(self, head: Head) -> None:
        """Takes the body of a request whose head is known, once it is whole; what is more is the parser's."""
        size = sum(map(len, self._parts))
        if size < head.length:
            return
        self._head = None
        if self._asked is not None:
            self._short.flush()
        body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        if size > head.length or not self._take(head.call, body):
            super().data_received(head.block + body)

    def _free(self) -> bool:
        return not (self._answering() or self._short.draining or self.flow.write_paused)

    # What the parser reports

    def on_message_begin(self) -> None:
        """A request begins, before or after the last one was answered."""
        if self._asked is not None:
            self._short.flush()
        self._reading, self._head_due, self._between = True, True, False
        self._begun += 1
        self.url, self._held, self._parts, self._call = b"", [], [], None

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header."""
        self._held.append((name, value))

    def on_headers_complete(self) -> None:
        """The headers are there: whether this is a usual Predict."""
        self._head_due = False
        if self.parser.get_method() == b"POST" and self._plain():
            self._call = self._short.call_of(self.url)
        if self._call is None:
            self._hand_over()

    def _plain(self) -> bool:
        if not self._free() or not self.parser.should_keep_alive():
            return False
        length = b""
        for name, value in self._held:
            lower = name.lower()
            if lower in _UNUSUAL:
                return False
            if lower == b"content-length":
                length = value
        self._length = int(length) if length.isdigit() else _LONGEST + 1
        return self._length <= _LONGEST

    def _hand_over(self) -> None:
        """Lets uvicorn begin with what was held back."""
        url = self.url
        super().on_message_begin()
        self.url = self.scope["state"][SENT_URL] = url
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
        body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        if self._take(self._call, body):
            self._between = True
            return
        self._call = None
        self._hand_over()
        super().on_body(body)
        super().on_message_complete()

    def _take(self, call: RestCall, body: bytes) -> bool:
        """Answers a Predict as soon as the loop has read its sockets, if it is short."""
        pace = self._short.pace_of(call, body)
        if not (self._short.inline and pace.short):
            return False
        self._reading = False
        now_ns = time.perf_counter_ns()
        timing = Timing(queue_ns=-now_ns, deadline_ns=self._short.deadline_ns(now_ns))
        self._asked = Asked(call, body, timing)
        self._short.add(self, self._asked, pace)
        return True

    # What is answered

    def send_400_response(self, msg: str) -> None:
        """Answers what the parser refuses as the real server does, which reads any word as a method."""
        answer = rest.unreadable(self._received)
        first = self._short.first_lines(answer.status, answer.content_type, self.server_state.default_headers)
        end = f"content-length: {len(answer.body)}\r\nconnection: close\r\n\r\n".encode("latin-1")
        self.transport.write(b"".join((first, end, answer.body)))
        self.transport.close()

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
        """The server ends: what is in flight is answered, and what is asked a moment later too.

        A request whose head is there has all the time of the drain for its body. Who has not sent that much by then has
        asked for nothing: half a line must not keep the server from its end.
        """
        if self._answering():
            self.cycle.keep_alive = False
        self.loop.call_later(self._short.linger_s, self._end)

    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _end(self) -> None:
        if not self._answering() and self._asked is None and (self._head_due or not self._reading):
            self.transport.close()
