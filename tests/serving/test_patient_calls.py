"""What waits for as long as its caller likes, a reload or a stream, keeps neither health nor the server's end."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tests.serving.conftest import Start
from tests.serving.running import PATIENCE_S, Running, at_once, predict
from toolkit.serving import rpc_server, rpc_services
from toolkit.wire import protos, rpc
from toolkit.wire.messages import ModelConfig, ReloadRequest
from toolkit.wire.rpc_models import encode_reload_request

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture(autouse=True)
def one_thread_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that waits takes them all."""
    monkeypatch.setattr(rpc_server, "_PATIENT_THREADS", 1)
    monkeypatch.setattr(rpc_services, "_REFLECTION_THREADS", 1)


@contextmanager
def served(start: Start, **flags: Any) -> Iterator[tuple[Running, grpc.Channel]]:
    with (
        start(enable_grpc_healthcheck_service=True, **flags) as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        yield server, channel


def health(channel: grpc.Channel) -> int:
    check = health_pb2_grpc.HealthStub(channel).Check
    return int(check(health_pb2.HealthCheckRequest(), timeout=PATIENCE_S).status)


def reload(channel: grpc.Channel, directory: Path, *names: str, timeout_s: float | None = None) -> Any:
    """Asks for these models."""
    models = tuple(ModelConfig(name, str(directory / name)) for name in names)
    return channel.unary_unary(rpc.RELOAD_CONFIG).future(
        encode_reload_request(ReloadRequest(models)), timeout=timeout_s
    )


def wait_for_config(server: Running, count: int) -> None:
    """Until the list of so many models is taken, whose reload then waits for the new ones."""
    event, until = threading.Event(), time.monotonic() + PATIENCE_S
    while len(server.host.library.configs()) != count:
        assert time.monotonic() < until
        event.wait(0.002)


class Reflection:
    """An open stream of reflection."""

    def __init__(self, channel: grpc.Channel, timeout_s: float | None = None) -> None:
        self._asked: SimpleQueue[Any] = SimpleQueue()
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        self.call = stub.ServerReflectionInfo(iter(self._asked.get, None), timeout=timeout_s)

    def services(self) -> int:
        """How many services it lists."""
        self._asked.put(reflection_pb2.ServerReflectionRequest(list_services=""))
        return len(next(self.call).list_services_response.service)

    def close(self) -> None:
        self._asked.put(None)
        self.call.cancel()


@contextmanager
def reflecting(channel: grpc.Channel, timeout_s: float | None = None) -> Iterator[Reflection]:
    stream = Reflection(channel, timeout_s)
    try:
        assert stream.services() > 2
        yield stream
    finally:
        stream.close()


@pytest.mark.parametrize("timeout_s", [None, 1e6])
def test_a_reload_that_waits_for_a_model_ends_when_its_caller_goes(
    start: Start, tmp_path: Path, timeout_s: float | None
) -> None:
    with served(start) as (server, channel):
        waiting = reload(channel, tmp_path, "double", "never", timeout_s=timeout_s)
        wait_for_config(server, 2)
        waiting.cancel()
        # Its thread, the only one, is there for the next.
        answer = reload(channel, tmp_path, "double").result(PATIENCE_S)
        assert protos.ReloadConfigResponse.FromString(answer).status.error_code == 0


def test_health_is_answered_while_reloads_wait(start: Start, tmp_path: Path) -> None:
    with served(start) as (server, channel):
        calls = [reload(channel, tmp_path, "double", "never") for _ in range(3)]
        wait_for_config(server, 2)
        assert health(channel) == SERVING
        assert not any(call.done() for call in calls)


def test_health_and_predicts_are_answered_while_streams_of_reflection_are_open(start: Start) -> None:
    with served(start) as (_, channel), reflecting(channel):
        late = Reflection(channel)  # waits for a thread
        assert health(channel) == SERVING
        assert predict(channel)[0]["y"].shape == (1, 2)
        late.close()


def test_who_watches_is_told_that_the_server_drains_and_does_not_keep_it(start: Start) -> None:
    with served(start, drain_timeout=1.0) as (server, channel):
        watch = health_pb2_grpc.HealthStub(channel).Watch
        streams = [watch(health_pb2.HealthCheckRequest(service=name), timeout=PATIENCE_S) for name in ("", "nobody's")]
        assert next(streams[0]).status == SERVING
        assert next(streams[1]).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
        server.host.stop()
        assert [answer.status for answer in streams[0]] == [NOT_SERVING]
        # Not cut off as the drain's time was over, which would be an error.
        assert [stream.code() for stream in streams if not list(stream)] == [grpc.StatusCode.OK] * 2


def test_a_drain_ends_streams_at_once_and_finishes_the_calls_in_flight(start: Start) -> None:
    with (
        served(start, held=True, drain_timeout=2 * PATIENCE_S) as (server, channel),
        reflecting(channel, PATIENCE_S) as stream,
    ):
        late = Reflection(channel, PATIENCE_S)  # waits for a thread
        with at_once(1, lambda: predict(channel)) as answers:
            server.model.wait_for(inside=1)
            with at_once(1, server.host.stop):
                # Else they would be open until their own deadlines, and the drain as long.
                assert stream.call.code() is grpc.StatusCode.CANCELLED
                assert late.call.code() is not grpc.StatusCode.DEADLINE_EXCEEDED
                server.model.gate.set()
            assert answers[0].result()[0]["y"].shape == (1, 2)
        late.close()
