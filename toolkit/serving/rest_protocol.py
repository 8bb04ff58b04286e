"""Short Predicts over REST, answered by the thread that reads them: many at a time, without ASGI and without a pool.

An ASGI application gets a task and two queues for every request, and a pool two hand-overs between threads; together
they cost several times what a small model does. So a usual Predict whose kind was short of late (paces.py) is answered
as soon as its last byte is there. Everything else goes on through uvicorn's own code, which this module extends.
"""

import time
from dataclasses import dataclass, field
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from toolkit.errors import ToolkitError
from toolkit.serving.paces import Pace, Paces
from toolkit.serving.rest_calls import Asked, RestCalls
from toolkit.serving.timing import Timing
from toolkit.wire import rest
from toolkit.wire.rest import Answer, Call, RestCall

# As many as the loop answers before it looks at its sockets again.
_TOGETHER = 16
# Longer bodies take longer than a hand-over costs, even to read.
_LONGEST = 1 << 20
_PATHS_KEPT = 1024
_ENDS = 64
# What a header with one of these asks for is not usual.
_UNUSUAL = frozenset({b"content-encoding", b"transfer-encoding", b"expect", b"upgrade"})
Header = tuple[bytes, bytes]


@dataclass(eq=False)
class ShortCalls:
    """Predicts that wait for the loop to have read its sockets; used on the loop's thread alone.

    Args:
        headers: sent with every answer.
        timeout_s: when a request is given up.
        inline: whether any may be answered here; not where requests are gathered into batches.
        linger_s: how long a connection on which nothing is asked stays open once the server ends: who asks just then is
            answered, and told to close, where it would otherwise find its connection reset.
    """

    calls: RestCalls
    paces: Paces
    headers: tuple[tuple[str, str], ...] = ()
    timeout_s: float = 30.0
    inline: bool = True
    linger_s: float = 0.3
    draining: bool = False
    _waiting: list[tuple["DirectProtocol", Asked, Pace]] = field(default_factory=list)
    _paths: dict[bytes, RestCall] = field(default_factory=dict)
    _lines: dict[tuple[int, str], tuple[list[Header], bytes]] = field(default_factory=dict)

    @property
    def held(self) -> int:
        """Requests that wait."""
        return len(self._waiting)

    def call_of(self, url: bytes) -> RestCall | None:
        """The Predict that a POST to this is; None for all else."""
        call = self._paths.get(url)
        if call is None and url.startswith(b"/") and b"?" not in url and b"#" not in url:
            try:
                found = rest.route("POST", url.decode("latin-1"))
            except ToolkitError:
                return None
            if isinstance(found, RestCall) and found.call is Call.PREDICT:
                if len(self._paths) >= _PATHS_KEPT:
                    self._paths.clear()
                call = self._paths[url] = found
        return call

    def pace_of(self, call: RestCall, body: bytes) -> Pace:
        """How long it takes: what is asked of the same version and signature in about as many bytes takes alike."""
        target = call.target
        # A body names its signature before or behind its values.
        begin, end = body[: body.find(b"[")][:_ENDS], body[body.rfind(b"]") :][-_ENDS:]
        around = (begin + end).decode("latin-1")
        return self.paces.of((target.model, target.version, target.label, around, len(body).bit_length()))

    def ran_pooled(self, call: RestCall, body: bytes, took_ns: int) -> None:
        """A call took so long on the pool."""
        if self.inline and call.call is Call.PREDICT:
            self.pace_of(call, body).ran_pooled(took_ns)

    def add(self, protocol: "DirectProtocol", asked: Asked, pace: Pace) -> None:
        """Answers a call with those that come in the same round of the loop."""
        self._waiting.append((protocol, asked, pace))
        if len(self._waiting) == 1:
            protocol.loop.call_soon(self.flush)
        elif len(self._waiting) >= _TOGETHER:
            self.flush()

    def flush(self) -> None:
        """Answers what waits."""
        taken, self._waiting = self._waiting, []
        now_ns = time.perf_counter_ns()
        for _, asked, _ in taken:
            asked.timing.queue_ns += now_ns
        answers = self.calls.answer_together([asked for _, asked, _ in taken])
        for (protocol, asked, pace), answer in zip(taken, answers, strict=True):
            timing = asked.timing
            pace.ran(timing.parse_ns + timing.compute_ns + timing.encode_ns)
            protocol.answer(answer, timing)

    def first_lines(self, status: int, content_type: str, defaults: list[Header]) -> bytes:
        """The first lines of an answer; uvicorn's default headers are a new list every second."""
        key = (status, content_type)
        known = self._lines.get(key)
        if known is None or known[0] is not defaults:
            named = [("content-type", content_type), *self.headers]
            own = b"".join(f"{name.lower()}: {value}\r\n".encode("latin-1") for name, value in named)
            lines = STATUS_LINE[status] + b"".join(b"%b: %b\r\n" % header for header in defaults) + own
            known = self._lines[key] = (defaults, lines)
        return known[1]


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
