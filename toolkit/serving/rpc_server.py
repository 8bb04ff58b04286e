"""gRPC over grpcio's public servicer API: raw bytes in, raw bytes out, a bounded queue in front."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from toolkit.serving.callers import Caller
from toolkit.serving.pool import BoundedPool
from toolkit.serving.rpc_calls import Answering, RpcAnswer, refused, too_late
from toolkit.serving.rpc_methods import RUNNING
from toolkit.serving.timing import Timing
from toolkit.serving.tls import TlsFile
from toolkit.serving.transport import Capacity, cannot_listen, cannot_listen_on_path, deadline_of, why_not_bound
from toolkit.wire import rpc
from toolkit.wire.codes import Code
from toolkit.wire.settings import TlsConfig

_STATUS = {Code(status.value[0]): status for status in grpc.StatusCode}
# Threads of their own, made when they are needed, for reloads, which wait for models, and for what is answered at once.
# On this transport grpcio keeps a thread for a call whose message has not come: of these there are many.
_PATIENT_THREADS = _PROMPT_THREADS = 64
_REFUSING_THREADS = 2  # they read nothing, so nothing keeps them
_UNBOUNDED = 2**31 - 1
_UNIMPLEMENTED = RpcAnswer(b"", rpc.RpcStatus(Code.UNIMPLEMENTED, ""), ())
# A picture comes in one frame, not in seven: 3 % less CPU (docs/performance.md).
_FRAME_BYTES = 2**18


@dataclass(frozen=True)
class RpcListening:
    """Where and how gRPC listens.

    Args:
        port: None listens on no TCP port.
        socket_path: a UNIX socket besides.
        arguments: channel arguments of grpcio, such as ("grpc.max_connection_age_ms", 2000).
    """

    host: str = "127.0.0.1"
    port: int | None = 8500
    socket_path: Path | None = None
    tls: TlsFile | None = None
    arguments: Sequence[tuple[str, int | str]] = ()
    health: bool = False


@dataclass
class RpcServer:
    """A Transport over grpcio's servicer API."""

    calls: Answering
    listening: RpcListening
    capacity: Capacity
    port: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        capacity = self.capacity
        self._running = BoundedPool(capacity.threads, capacity.max_queue, "rpc")
        self._patient = BoundedPool(_PATIENT_THREADS, _UNBOUNDED, "rpc-patient")
        self._prompt = BoundedPool(_PROMPT_THREADS, _UNBOUNDED, "rpc-prompt")
        self._refusing = ThreadPoolExecutor(_REFUSING_THREADS, thread_name_prefix="rpc-refusing")
        arguments = {
            "grpc.so_reuseport": 0,
            "grpc.http2.max_frame_size": _FRAME_BYTES,
            "grpc.max_receive_message_length": capacity.max_message_bytes,
            "grpc.max_send_message_length": -1,
            # The core's own bounds end a call without a word of why; max_queue is ours.
            "grpc.server.max_pending_requests": _UNBOUNDED,
            "grpc.server.max_pending_requests_hard_limit": _UNBOUNDED,
        } | dict(self.listening.arguments)
        self._server = grpc.server(self._refusing, options=list(arguments.items()))
        self._server.add_generic_rpc_handlers((_Methods(self),))
        self._services = _services(self._server, with_health=self.listening.health)
        self._server.add_generic_rpc_handlers((_Unknown(self._refusing),))
        self.calls.metrics.gauge("tfx_grpc_held", "gRPC requests running or waiting.", lambda: self.held)
        self._bind()

    def _bind(self) -> None:
        listening = self.listening
        if listening.port is not None:
            host, port = listening.host, listening.port
            try:
                self.port = self._add_port(f"{_bracketed(host)}:{port}")
            except RuntimeError as error:
                raise cannot_listen(host, port, why_not_bound((host, port))) from error
        if listening.socket_path is not None:
            try:
                self._add_port(f"unix:{listening.socket_path}")
            except RuntimeError as error:
                raise cannot_listen_on_path(listening.socket_path, why_not_bound(str(listening.socket_path))) from error

    def _add_port(self, address: str) -> int:
        tls = self.listening.tls
        if tls is None:
            return int(self._server.add_insecure_port(address))
        return int(self._server.add_secure_port(address, _credentials(tls)))

    @property
    def held(self) -> int:
        """Requests that run or wait."""
        return self._running.held

    def start(self) -> None:
        """Answers from now on."""
        self._server.start()

    def stop(self, grace_s: float) -> None:
        """Takes nothing new and finishes what is in flight; streams, which have no end of their own, are ended."""
        self._services.drain()
        stopped = self._server.stop(grace_s)
        # Only now: a client that watches would watch again at once.
        self._services.end_streams()
        stopped.wait()
        for pool in (self._running, self._prompt, self._patient, self._refusing):
            pool.shutdown(wait=False, cancel_futures=True)
        self._services.stop()

    def pool_for(self, method: str) -> BoundedPool:
        """The threads that a method runs on."""
        if method in RUNNING:
            return self._running
        return self._patient if method == rpc.RELOAD_CONFIG else self._prompt

    @property
    def refusing(self) -> ThreadPoolExecutor:
        """Threads that are never taken for long."""
        return self._refusing


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


@dataclass(frozen=True)
class _Methods(grpc.GenericRpcHandler):
    server: RpcServer

    def service(self, handler_call_details: Any) -> Any:
        """What answers a call; grpcio asks on its one serving thread, as soon as the call's headers are there."""
        method = handler_call_details.method
        if not self.server.calls.knows(method):
            return None
        pool, calls = self.server.pool_for(method), self.server.calls
        if pool.full:
            return grpc.stream_unary_rpc_method_handler(_Refusal(self.server.refusing, refused(calls.metrics)))
        return grpc.unary_unary_rpc_method_handler(_Answering(pool, calls, method, time.perf_counter_ns()))


@dataclass(frozen=True)
class _Unknown(grpc.GenericRpcHandler):
    """Answers what no service answers without a word, as the real server does."""

    refusing: ThreadPoolExecutor

    def service(self, _: Any) -> Any:
        """The same for every method; it reads no message, of whatever kind the call is."""
        return grpc.stream_unary_rpc_method_handler(_Refusal(self.refusing, _UNIMPLEMENTED))


@dataclass(frozen=True, slots=True)
class _Answering:
    """Answers one call, on the pool that grpcio finds under this attribute's name."""

    experimental_thread_pool: ThreadPoolExecutor
    calls: Answering
    method: str
    arrived_ns: int

    def __call__(self, body: bytes, context: Any) -> bytes:
        now_ns = time.perf_counter_ns()
        deadline_ns = deadline_of(context.time_remaining(), now_ns)
        timing = Timing(queue_ns=now_ns - self.arrived_ns, deadline_ns=deadline_ns)
        if deadline_ns is not None and deadline_ns <= now_ns:
            return _sent(too_late(self.calls.metrics, timing), context)
        return _sent(self.calls.answer(self.method, body, timing, self._caller(context)), context)

    def _caller(self, context: Any) -> Caller | None:
        if self.method != rpc.RELOAD_CONFIG:
            return None
        caller = Caller()
        # It waits only once it knows whether the caller has gone: also where that was before this line.
        caller.gone = not context.add_callback(caller.leave)
        return caller


@dataclass(frozen=True, slots=True)
class _Refusal:
    """Refuses a call at once; reads none of it, or one that is never sent whole would keep the thread."""

    experimental_thread_pool: ThreadPoolExecutor
    answer: RpcAnswer

    def __call__(self, _: Any, context: Any) -> bytes:
        return _sent(self.answer, context)


def _sent(answer: RpcAnswer, context: Any) -> bytes:
    """The body, once grpcio knows the rest."""
    context.set_trailing_metadata(answer.metadata)
    if answer.status is not None:
        context.set_code(_STATUS[answer.status.code])
        context.set_details(answer.status.details)
    return answer.body


def _credentials(tls: TlsFile) -> Any:
    first = tls.current()
    used = [first]

    def changed() -> Any:
        found = tls.current()
        if found is used[0]:
            return None
        used[0] = found
        return _certificates(found)

    return grpc.dynamic_ssl_server_credentials(_certificates(first), changed, first.client_verify)


def _certificates(config: TlsConfig) -> Any:
    pair = (config.server_key.encode(), config.server_cert.encode())
    return grpc.ssl_server_certificate_configuration([pair], config.custom_ca.encode() or None)


def _services(server: Any, *, with_health: bool) -> Any:
    """Reflection and, where asked for, health."""
    from toolkit.serving.rpc_services import Services  # late: they are small, but not needed to bind

    return Services(server, with_health=with_health)
