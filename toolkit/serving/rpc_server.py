"""gRPC over grpcio's public servicer API: raw bytes in, raw bytes out, a bounded queue in front."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from toolkit.serving.pool import BoundedPool
from toolkit.serving.rpc_calls import RETRY_HINT, RUNNING, Answering
from toolkit.serving.timing import Timing
from toolkit.serving.tls import TlsFile
from toolkit.serving.transport import Capacity, cannot_listen
from toolkit.wire import rpc, wording
from toolkit.wire.codes import Code
from toolkit.wire.settings import TlsConfig

_STATUS = {Code(status.value[0]): status for status in grpc.StatusCode}
# Reloads wait for models, and reflection streams stay open: threads of their own, made when they are needed.
_PATIENT_THREADS = 64
_PROMPT_THREADS = 2
_UNBOUNDED = 2**31 - 1
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
        self._patient = ThreadPoolExecutor(_PATIENT_THREADS, thread_name_prefix="rpc-patient")
        self._prompt = ThreadPoolExecutor(_PROMPT_THREADS, thread_name_prefix="rpc-prompt")
        arguments = {
            "grpc.so_reuseport": 0,
            "grpc.http2.max_frame_size": _FRAME_BYTES,
            "grpc.max_receive_message_length": capacity.max_message_bytes,
            "grpc.max_send_message_length": -1,
            # The core's own bounds end a call without a word of why; max_queue is ours.
            "grpc.server.max_pending_requests": _UNBOUNDED,
            "grpc.server.max_pending_requests_hard_limit": _UNBOUNDED,
        } | dict(self.listening.arguments)
        self._server = grpc.server(self._patient, options=list(arguments.items()))
        self._server.add_generic_rpc_handlers((_Methods(self),))
        self._health = _add_services(self._server, health=self.listening.health)
        self._server.add_generic_rpc_handlers((_Unknown(self._prompt),))
        self.calls.metrics.gauge("tfx_grpc_held", "gRPC requests running or waiting.", lambda: self.held)
        self._bind()

    def _bind(self) -> None:
        listening = self.listening
        if listening.port is not None:
            self.port = self._add_port(f"{_bracketed(listening.host)}:{listening.port}", listening.port)
        if listening.socket_path is not None:
            self._add_port(f"unix:{listening.socket_path}", 0)

    def _add_port(self, address: str, port: int) -> int:
        listening = self.listening
        try:
            if listening.tls is None:
                return int(self._server.add_insecure_port(address))
            return int(self._server.add_secure_port(address, _credentials(listening.tls)))
        except RuntimeError as error:
            raise cannot_listen(
                listening.host, port, "the port is taken, or the address is not this machine's"
            ) from error

    @property
    def held(self) -> int:
        """Requests that run or wait."""
        return self._running.held

    def start(self) -> None:
        """Answers from now on."""
        self._server.start()

    def stop(self, grace_s: float) -> None:
        """Takes nothing new and finishes what is in flight."""
        if self._health is not None:
            self._health.enter_graceful_shutdown()
        self._server.stop(grace_s).wait()
        for pool in (self._running, self._prompt, self._patient):
            pool.shutdown(wait=False, cancel_futures=True)

    def pool_for(self, method: str) -> ThreadPoolExecutor | None:
        """The threads that a method runs on; None where none will be free in time."""
        if method not in RUNNING:
            return self._patient if method == rpc.RELOAD_CONFIG else self._prompt
        return None if self._running.full else self._running

    @property
    def prompt(self) -> ThreadPoolExecutor:
        """Threads that are never taken for long."""
        return self._prompt


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
        pool = self.server.pool_for(method)
        if pool is None:
            self.server.calls.metrics.refuse("GRPC", "queue full")
            return grpc.unary_unary_rpc_method_handler(_Refusal(self.server.prompt))
        return grpc.unary_unary_rpc_method_handler(_Answering(pool, self.server.calls, method, time.perf_counter_ns()))


@dataclass(frozen=True)
class _Unknown(grpc.GenericRpcHandler):
    """Answers what no service answers without a word, as the real server does."""

    prompt: ThreadPoolExecutor

    def service(self, _: Any) -> Any:
        """The same for every method; it reads no message, of whatever kind the call is."""
        return grpc.stream_unary_rpc_method_handler(_Unimplemented(self.prompt))


@dataclass(frozen=True, slots=True)
class _Unimplemented:
    experimental_thread_pool: ThreadPoolExecutor

    def __call__(self, _: Any, context: Any) -> bytes:
        context.set_code(grpc.StatusCode.UNIMPLEMENTED)
        context.set_details("")
        return b""


@dataclass(frozen=True, slots=True)
class _Answering:
    """Answers one call, on the pool that grpcio finds under this attribute's name."""

    experimental_thread_pool: ThreadPoolExecutor
    calls: Answering
    method: str
    arrived_ns: int

    def __call__(self, body: bytes, context: Any) -> bytes:
        now_ns = time.perf_counter_ns()
        left_s = context.time_remaining()
        deadline_ns = None if left_s is None else now_ns + int(left_s * 1e9)
        timing = Timing(queue_ns=now_ns - self.arrived_ns, deadline_ns=deadline_ns)
        if deadline_ns is not None and deadline_ns <= now_ns:
            self.calls.metrics.refuse("GRPC", "deadline passed")
            status = rpc.status_of(wording.deadline_cannot_be_met(0, 0))
            context.abort(_STATUS[status.code], status.details)
        answer = self.calls.answer(self.method, body, timing)
        context.set_trailing_metadata(answer.metadata)
        if answer.status is not None:
            context.set_code(_STATUS[answer.status.code])
            context.set_details(answer.status.details)
        return answer.body


@dataclass(frozen=True, slots=True)
class _Refusal:
    """Refuses a call at once, with a hint when to come again."""

    experimental_thread_pool: ThreadPoolExecutor

    def __call__(self, _: bytes, context: Any) -> bytes:
        status = rpc.status_of(wording.threads_exhausted())
        context.set_trailing_metadata(RETRY_HINT)
        context.set_code(_STATUS[status.code])
        context.set_details(status.details)
        return b""


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


def _add_services(server: Any, *, health: bool) -> Any:
    """Adds reflection and, where asked for, health; gives the health servicer."""
    from toolkit.serving.rpc_services import add_health, add_reflection  # late: they are small, but not needed to bind

    add_reflection(server)
    return add_health(server) if health else None
