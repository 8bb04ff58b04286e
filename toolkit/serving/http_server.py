"""REST over uvicorn, on a thread and an event loop of its own; what is not short runs on a bounded pool of threads."""

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import uvicorn
import uvloop

from toolkit.errors import Fault, ServingError, ToolkitError
from toolkit.serving.metrics import CONTENT_TYPE
from toolkit.serving.paces import Paces
from toolkit.serving.pool import BoundedPool
from toolkit.serving.rest_bodies import READ_HEADERS, Receive, RefusedError, read_body
from toolkit.serving.rest_calls import RUNNING, RestCalls
from toolkit.serving.rest_check import protocol_of
from toolkit.serving.rest_short import SENT_URL, Connection, ShortCalls
from toolkit.serving.timing import GIVEN_UP_NS, Timing
from toolkit.serving.tls import TlsFile, live_context
from toolkit.serving.transport import Capacity, listen
from toolkit.wire import rest, wording
from toolkit.wire.rest import Answer, RestCall

log = logging.getLogger(__name__)
Send = Callable[[dict[str, Any]], Awaitable[None]]
_RETRY_AFTER = (("retry-after", "1"),)
_CLOSE = (("connection", "close"),)
# The real server lets idle connections be; a client's pool should not find them closed between two requests.
_KEEP_ALIVE_S = 300
_TICKS_BETWEEN_LOOKS = 100
_BACKLOG = 1024
_ENDING_S = 5.0  # what ends takes a moment, on a busy machine more


@dataclass(frozen=True)
class RestListening:
    """Where and how REST listens.

    Args:
        cors: send CORS headers (--rest_api_enable_cors_support).
        timeout_s: when a request is given up (--rest_api_timeout_in_ms); None never gives one up.
        metrics_path: where the metrics page is; None has none.
        linger_s: how long an idle connection stays open once the server ends; who asks just then is answered and told
            to close, where it would otherwise find its connection reset.
    """

    host: str = "127.0.0.1"
    port: int = 8501
    tls: TlsFile | None = None
    cors: bool = False
    timeout_s: float | None = 30.0
    metrics_path: str | None = None
    linger_s: float = 0.3


@dataclass
class RestServer:
    """A Transport over HTTP. It listens as soon as it is made: /healthz and /readyz are answered while models load.

    Args:
        ready: whether the server may be sent requests, for /readyz.
    """

    calls: RestCalls
    listening: RestListening
    capacity: Capacity
    ready: Callable[[], bool]
    port: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._socket = listen(self.listening.host, self.listening.port, _BACKLOG)
        self.port = self._socket.getsockname()[1]
        self._pool = BoundedPool(self.capacity.threads, self.capacity.max_queue, "rest")
        listening = self.listening
        self._short = ShortCalls(
            self.calls,
            Paces(),
            headers=rest.CORS_HEADERS if listening.cors else (),
            timeout_s=listening.timeout_s,
            inline=self.capacity.inline,
            linger_s=listening.linger_s,
        )
        self.calls.metrics.gauge("tfx_rest_held", "REST requests running or waiting.", lambda: self.held)
        self._opened: Future[bool] = Future()
        self._started: Future[None] = Future()
        self._thread = threading.Thread(target=self._serve, name="rest", daemon=True)
        self._server = _Server(self._config(), self._started)
        self._thread.start()
        self._started.result()

    @property
    def held(self) -> int:
        """Requests that run or wait."""
        return self._pool.held + self._short.held

    def _config(self) -> uvicorn.Config:
        config = uvicorn.Config(
            _Application(self._short, self.listening, self.capacity, self._pool, self.ready, self._opened),
            http=protocol_of(self._short),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # nobody asks who the client is
            timeout_keep_alive=_KEEP_ALIVE_S,
            h11_max_incomplete_event_size=None,
        )
        config.load()
        if self.listening.tls is not None:
            config.ssl = live_context(self.listening.tls)
        return config

    def start(self) -> None:
        """Answers from now on, those first who asked before."""
        self._opened.set_result(True)

    def _serve(self) -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._server.serve(sockets=[self._socket]))
        except BaseException as error:  # whoever waits for the start must learn of it
            if not self._started.done():
                self._started.set_exception(error)
            else:
                log.exception("the REST server ended")

    def stop(self, grace_s: float) -> None:
        """Takes nothing new and finishes what is in flight."""
        if not self._opened.done():
            self._opened.set_result(False)
        if self._thread.is_alive():
            self._server.config.timeout_graceful_shutdown = max(1, round(grace_s))
            self._short.draining = True
            self._server.should_exit = True
            self._thread.join(self.listening.linger_s + max(1.0, grace_s) + _ENDING_S)
            if self._thread.is_alive():
                log.error("REST did not end in time: a request holds the thread that reads; it is left behind")
        self._socket.close()
        self._pool.shutdown(wait=False, cancel_futures=True)


class _Server(uvicorn.Server):
    """Uvicorn's server, which says when it has started."""

    def __init__(self, config: uvicorn.Config, started: "Future[None]") -> None:
        super().__init__(config)
        self._told = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listens, and says so."""
        await super().startup(sockets)
        self._told.set_result(None)

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second; closes connections on which nothing was asked for long."""
        if counter % _TICKS_BETWEEN_LOOKS == 0:
            since_s = asyncio.get_running_loop().time() - _KEEP_ALIVE_S
            for connection in list(self.server_state.connections):
                if isinstance(connection, Connection):  # uvicorn's own look after themselves
                    connection.close_if_idle(since_s)
        return await super().on_tick(counter)


@dataclass(frozen=True)
class _Application:
    """The ASGI application.

    Args:
        opened: done once requests are answered, or with False once they never will be.
    """

    short: ShortCalls
    listening: RestListening
    capacity: Capacity
    pool: BoundedPool
    ready: Callable[[], bool]
    opened: "Future[bool]"

    @property
    def calls(self) -> RestCalls:
        """What answers."""
        return self.short.calls

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        timing = Timing()
        headers = {name: value for name, value in scope["headers"] if name in READ_HEADERS}
        try:
            own = self._own_page(scope)
            if own is None and not self.opened.done():
                await self._opening(timing)
            body = await read_body(receive, headers, self.capacity.max_message_bytes)
            answer, extra = (own, ()) if own else await self._answer(scope, headers, body, timing)
        except ToolkitError as error:
            answer, extra = rest.error_answer(error), ()
        except RefusedError as error:
            answer, extra = error.answer, _CLOSE
        if self.short.draining and extra != _CLOSE:
            extra = (*extra, *_CLOSE)
        await self._send(send, scope["method"], answer, (*extra, *self._always(answer, timing)))

    def _always(self, answer: Answer, timing: Timing) -> tuple[tuple[str, str], ...]:
        cors = rest.CORS_HEADERS if self.listening.cors and answer.served else ()
        return (*cors, ("server-timing", timing.as_server_timing()))

    async def _answer(
        self, scope: dict[str, Any], headers: dict[bytes, bytes], body: bytes, timing: Timing
    ) -> tuple[Answer, tuple[tuple[str, str], ...]]:
        call = self.calls.routed(scope["method"], _uri(scope), headers.get(b"origin", b"").decode("latin-1"))
        if isinstance(call, Answer):
            return call, ()
        if call.call not in RUNNING:
            # Nothing runs for it, so it need not wait for those that do.
            return self.calls.answer(call, body, timing), ()
        if self.pool.full:
            self.calls.metrics.refuse("REST", "queue full")
            return rest.error_answer(wording.threads_exhausted()), _RETRY_AFTER
        return await self._run(call, body, timing), ()

    async def _opening(self, timing: Timing) -> None:
        """Waits until the models were tried, as a call over gRPC does, before a byte of the body is read."""
        since_ns = time.perf_counter_ns()
        # Shielded, for it is the same one for all who wait.
        opened = await asyncio.shield(asyncio.wrap_future(self.opened))
        timing.add("queue", time.perf_counter_ns() - since_ns)
        if not opened:
            raise ServingError("the server stops", hint="ask another one", fault=Fault.UNAVAILABLE)

    def _own_page(self, scope: dict[str, Any]) -> Answer | None:
        method, path = scope["method"], scope["raw_path"].decode("latin-1")
        if path == self.listening.metrics_path:
            refusal = rest.metrics_refusal(method, _uri(scope), path)
            return refusal or Answer(200, self.calls.metrics.page(), CONTENT_TYPE, served=False)
        if method not in ("GET", "HEAD"):
            return None
        if path == "/healthz":
            return Answer(200, b"ok\n", "text/plain")
        if path == "/readyz":
            return Answer(200, b"ready\n", "text/plain") if self.ready() else Answer(503, b"not ready\n", "text/plain")
        return None

    async def _run(self, call: RestCall, body: bytes, timing: Timing) -> Answer:
        arrived_ns, began = time.perf_counter_ns(), False
        timing.deadline_ns = self.short.deadline_ns(arrived_ns)

        def work() -> Answer:
            nonlocal began
            started_ns, began = time.perf_counter_ns(), True
            timing.add("queue", started_ns - arrived_ns)
            answer = self.calls.answer(call, body, timing)
            self.short.ran_pooled(call, body, time.perf_counter_ns() - started_ns)
            return answer

        running = asyncio.get_running_loop().run_in_executor(self.pool, work)
        try:
            return await asyncio.wait_for(running, self.listening.timeout_s)
        except TimeoutError:
            # A phase is told when it ends. What goes on was given up in the model, or where it waited for a thread.
            gone_ns = time.perf_counter_ns() - arrived_ns
            if began:
                timing.add("compute", max(0, gone_ns - timing.queue_ns - timing.parse_ns))
                timing.deadline_ns = GIVEN_UP_NS
            else:
                timing.add("queue", gone_ns)
                self.calls.metrics.refuse("REST", "deadline passed")
            late = wording.run_timed_out() if began else wording.deadline_cannot_be_met(0, 0)
            return rest.error_answer(late)

    async def _send(self, send: Send, method: str, answer: Answer, extra: tuple[tuple[str, str], ...]) -> None:
        headers = [("content-type", answer.content_type), ("content-length", str(len(answer.body))), *extra]
        encoded = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
        await send({"type": "http.response.start", "status": answer.status, "headers": encoded})
        await send({"type": "http.response.body", "body": b"" if method == "HEAD" else answer.body})


def _uri(scope: dict[str, Any]) -> str:
    """What was asked for as it was sent, where the connection says so; ASGI knows of no fragment."""
    whole: bytes | None = scope.get("state", {}).get(SENT_URL)
    if whole is None:
        whole = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
    return whole.decode("latin-1")
