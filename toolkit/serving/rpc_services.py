"""The standard services beside TensorFlow Serving's: grpc.health.v1 and server reflection.

Each has threads of its own, so that nothing that waits keeps a health check from its answer.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2

from toolkit.wire import protos

# The names under which the real server answers a health check.
_HEALTHY = ("", "ModelService", "PredictionService", *protos.SERVICES)
# Made when they are needed. An open stream of reflection keeps one; a health check only while its message comes.
_HEALTH_THREADS, _REFLECTION_THREADS = 64, 16


@dataclass(eq=False)
class _Streams:
    """The open streams of a server, which would go on for as long as their callers like."""

    _ended: bool = False
    _open: dict[Any, Callable[[], None]] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def add(self, context: Any, end: Callable[[], None]) -> None:
        """One more; `end` ends it, at once if all have been ended."""
        with self._lock:
            ended = self._ended
            if not ended:
                self._open[context] = end
        if ended:
            end()
        elif not context.add_callback(lambda: self._forget(context)):
            self._forget(context)  # its caller has gone already

    def _forget(self, context: Any) -> None:
        with self._lock:
            self._open.pop(context, None)

    def end(self) -> None:
        """Ends all, and whichever comes after."""
        with self._lock:
            self._ended, ends = True, list(self._open.values())
            self._open.clear()
        for end in ends:
            end()


class _Health(health.HealthServicer):
    """grpcio's health service, with the real server's words for a service that it does not know."""

    def Check(self, request: Any, context: Any) -> Any:  # noqa: N802  # the protocol's name
        """The state of a service."""
        answer = super().Check(request, context)
        if context.code() is grpc.StatusCode.NOT_FOUND:
            context.set_details("service name unknown")
        return answer


@dataclass(frozen=True)
class _Check:
    experimental_thread_pool: ThreadPoolExecutor
    health: _Health

    def __call__(self, request: Any, context: Any) -> Any:
        return self.health.Check(request, context)


@dataclass(frozen=True)
class _Watch:
    """grpcio keeps no thread for a stream whose handler has this attribute."""

    experimental_thread_pool: ThreadPoolExecutor
    health: _Health
    streams: _Streams
    experimental_non_blocking: bool = True

    def __call__(self, request: Any, context: Any, send: Callable[[Any], None]) -> None:
        self.health.Watch(request, context, send)
        self.streams.add(context, lambda: send(None))


@dataclass(frozen=True)
class _Reflect:
    experimental_thread_pool: ThreadPoolExecutor
    servicer: Any
    streams: _Streams

    def __call__(self, requests: Iterable[Any], context: Any) -> Iterator[Any]:
        self.streams.add(context, context.cancel)
        return iter(self.servicer.ServerReflectionInfo(requests, context))


class Services:
    """Reflection and, where asked for, health, on a server of grpcio's; every service is SERVING until it drains."""

    def __init__(self, server: Any, *, with_health: bool) -> None:
        self._streams = _Streams()
        self._health: _Health | None = None
        self._pools = [ThreadPoolExecutor(_REFLECTION_THREADS, thread_name_prefix="rpc-reflection")]
        self._add_reflection(server, self._pools[0])
        if with_health:
            self._health = _Health()
            self._pools.append(ThreadPoolExecutor(_HEALTH_THREADS, thread_name_prefix="rpc-health"))
            self._add_health(server, self._pools[1], self._health)

    def drain(self) -> None:
        """Whoever watches is told NOT_SERVING."""
        if self._health is not None:
            self._health.enter_graceful_shutdown()

    def end_streams(self) -> None:
        """Ends what would otherwise be open for as long as its caller likes."""
        self._streams.end()

    def stop(self) -> None:
        """Ends the threads."""
        for pool in self._pools:
            pool.shutdown(wait=False, cancel_futures=True)

    def _add_health(self, server: Any, pool: ThreadPoolExecutor, servicer: _Health) -> None:
        for name in _HEALTHY:
            servicer.set(name, health_pb2.HealthCheckResponse.SERVING)
        forms = (health_pb2.HealthCheckRequest.FromString, health_pb2.HealthCheckResponse.SerializeToString)
        methods = {
            "Check": grpc.unary_unary_rpc_method_handler(_Check(pool, servicer), *forms),
            "Watch": grpc.unary_stream_rpc_method_handler(_Watch(pool, servicer, self._streams), *forms),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(health.SERVICE_NAME, methods),))

    def _add_reflection(self, server: Any, pool: ThreadPoolExecutor) -> None:
        """Lets clients list the services and their messages."""
        names = (*protos.SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflect = _Reflect(pool, reflection.ReflectionServicer(names), self._streams)
        forms = (
            reflection_pb2.ServerReflectionRequest.FromString,
            reflection_pb2.ServerReflectionResponse.SerializeToString,
        )
        method = grpc.stream_stream_rpc_method_handler(reflect, *forms)
        handler = grpc.method_handlers_generic_handler(reflection.SERVICE_NAME, {"ServerReflectionInfo": method})
        server.add_generic_rpc_handlers((handler,))
