"""Short Predicts over REST that wait for their answer: many at a time, on the loop's own thread, and without a pool."""

import asyncio
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import NamedTuple, Protocol, runtime_checkable

from toolkit.errors import ToolkitError
from toolkit.serving.paces import Pace, Paces
from toolkit.serving.rest_calls import Asked, RestCalls
from toolkit.serving.timing import Timing
from toolkit.wire import rest
from toolkit.wire.rest import Answer, Call, RestCall

# As many as the loop answers before it looks at its sockets again.
_TOGETHER = 16
_PATHS_KEPT = 1024
_HEADS_KEPT, _LONGEST_HEAD = 1024, 4096
_ENDS = 64
Header = tuple[bytes, bytes]
# Where a connection puts the URL as it was sent, in the state that ASGI keeps for a request.
SENT_URL = "sent_url"


class Head(NamedTuple):
    """The lines before the body of a Predict, and what the parser said of them."""

    block: bytes
    call: RestCall
    length: int


@runtime_checkable
class Connection(Protocol):
    """What asked for a short Predict."""

    loop: asyncio.AbstractEventLoop

    def answer(self, answer: Answer, timing: Timing) -> None:
        """Sends what was asked for."""

    def close_if_idle(self, since_s: float) -> None:
        """Closes a connection on which nothing was asked since."""


@dataclass(eq=False)
class ShortCalls:
    """Predicts that wait for the loop to have read its sockets; used on the loop's thread alone.

    Args:
        headers: sent with every answer.
        timeout_s: when a request is given up; None never gives one up.
        inline: whether any may be answered here; not where requests are gathered into batches.
        linger_s: how long a connection on which nothing is asked stays open once the server ends: who asks just then is
            answered, and told to close, where it would otherwise find its connection reset.
    """

    calls: RestCalls
    paces: Paces
    headers: tuple[tuple[str, str], ...] = ()
    timeout_s: float | None = 30.0
    inline: bool = True
    linger_s: float = 0.3
    draining: bool = False
    heads: dict[bytes, Head] = field(default_factory=dict)
    _waiting: list[tuple["Connection", Asked, Pace]] = field(default_factory=list)
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

    def remember(self, block: bytes, head: Head) -> None:
        """Keeps what was read in a head; clients choose them, so there are only so many."""
        if len(block) <= _LONGEST_HEAD:
            if len(self.heads) >= _HEADS_KEPT:
                self.heads.clear()
            self.heads[block] = head

    def deadline_ns(self, now_ns: int) -> int | None:
        """When a request that arrives now is given up."""
        return None if self.timeout_s is None else now_ns + int(self.timeout_s * 1e9)

    def pace_of(self, call: RestCall, body: bytes) -> Pace:
        """How long it takes: what is asked of the same version and signature in about as many bytes takes alike."""
        target = call.target
        # A body names its signature before or behind its values.
        size, tail = len(body), max(0, len(body) - _ENDS)
        begin, end = body.find(b"[", 0, _ENDS), body.rfind(b"]", tail)
        around = body[: begin if begin >= 0 else _ENDS] + body[max(end, tail) :]
        return self.paces.of((target.model, target.version, target.label, around, size.bit_length()))

    def ran_pooled(self, call: RestCall, body: bytes, took_ns: int) -> None:
        """A call took so long on the pool."""
        if self.inline and call.call is Call.PREDICT:
            self.pace_of(call, body).ran_pooled(took_ns)

    def add(self, protocol: "Connection", asked: Asked, pace: Pace) -> None:
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
            pace.ran((timing.parse_ns + timing.compute_ns + timing.encode_ns) // asked.together)
            protocol.answer(answer, timing)

    def first_lines(self, status: int, content_type: str, defaults: list[Header]) -> bytes:
        """The first lines of an answer; uvicorn's default headers are a new list every second."""
        key = (status, content_type)
        known = self._lines.get(key)
        if known is None or known[0] is not defaults:
            named = [("content-type", content_type), *self.headers]
            own = b"".join(f"{name.lower()}: {value}\r\n".encode("latin-1") for name, value in named)
            status_line = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n".encode("latin-1")
            lines = status_line + b"".join(b"%b: %b\r\n" % header for header in defaults) + own
            known = self._lines[key] = (defaults, lines)
        return known[1]
