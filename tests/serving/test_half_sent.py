"""Calls whose headers came and whose message never does keep nobody else from an answer."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.serving.conftest import Start
from tests.serving.running import PATIENCE_S, Running, predict, predict_body, running
from toolkit.wire import protos, rpc

HANDFUL = 8
PROMPT = (rpc.GET_MODEL_STATUS, rpc.GET_MODEL_METADATA, rpc.RELOAD_CONFIG)
RUNNING = (rpc.PREDICT, rpc.CLASSIFY, rpc.REGRESS, rpc.MULTI_INFERENCE)
HEALTH = ("/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch")


@contextmanager
def half_sent(channel: grpc.Channel, methods: tuple[str, ...], each: int = HANDFUL) -> Iterator[None]:
    """So many calls of each method that send their headers and nothing else, before whatever the channel sends next."""
    over = threading.Event()

    def never() -> Iterator[bytes]:
        over.wait()
        yield from ()

    # Connected, so that these calls are not still waiting for that when the next one is sent.
    grpc.channel_ready_future(channel).result(PATIENCE_S)
    calls = [channel.stream_unary(method).future(never()) for method in methods for _ in range(each)]
    try:
        yield
    finally:
        for call in calls:
            call.cancel()
        over.set()


def status(channel: grpc.Channel) -> int:
    request = protos.GetModelStatusRequest()
    request.model_spec.name = "double"
    body = channel.unary_unary(rpc.GET_MODEL_STATUS)(request.SerializeToString(), timeout=PATIENCE_S)
    return int(protos.GetModelStatusResponse.FromString(body).model_version_status[0].state)


def metadata(channel: grpc.Channel) -> int:
    request = protos.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "double"
    body = channel.unary_unary(rpc.GET_MODEL_METADATA)(request.SerializeToString(), timeout=PATIENCE_S)
    return int(protos.GetModelMetadataResponse.FromString(body).model_spec.version.value)


def health(channel: grpc.Channel) -> int:
    check = health_pb2_grpc.HealthStub(channel).Check
    return int(check(health_pb2.HealthCheckRequest(), timeout=PATIENCE_S).status)


def code_of(channel: grpc.Channel, method: str) -> Any:
    with pytest.raises(grpc.RpcError) as refused:
        channel.unary_unary(method)(predict_body(), timeout=PATIENCE_S)
    return refused.value.code()


def test_a_handful_of_each_keep_nobody_from_what_is_answered_at_once(start: Start) -> None:
    with start(enable_grpc_healthcheck_service=True) as server, grpc.insecure_channel(server.address) as channel:
        with half_sent(channel, (*PROMPT, *HEALTH)):
            assert status(channel) == 30
            assert metadata(channel) == 1
            assert health(channel) == health_pb2.HealthCheckResponse.SERVING
            assert code_of(channel, "/unknown/Method") is grpc.StatusCode.UNIMPLEMENTED
            assert predict(channel)[0]["y"].shape == (1, 2)
        assert status(channel) == 30


def test_calls_past_the_queue_are_refused_at_once_though_none_of_them_is_sent_whole(start: Start) -> None:
    with start(held=True, grpc_max_threads=1, max_queue=0) as server, grpc.insecure_channel(server.address) as channel:
        running_one = channel.unary_unary(rpc.PREDICT).future(predict_body(), timeout=PATIENCE_S)
        server.model.wait_for(inside=1)
        with half_sent(channel, RUNNING):
            for method in RUNNING:
                assert code_of(channel, method) is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert status(channel) == 30
        server.model.gate.set()
        assert running_one.code() is grpc.StatusCode.OK


def test_on_the_fast_transport_they_keep_no_thread_of_a_model(tmp_path: Any) -> None:
    with running(tmp_path, transport="fast", grpc_max_threads=2) as server, channel_to(server) as channel:
        with half_sent(channel, RUNNING):
            for _ in range(3):
                assert predict(channel)[0]["y"].shape == (1, 2)
            # It is read and found to be none.
            assert code_of(channel, rpc.CLASSIFY) is grpc.StatusCode.INTERNAL
        server.wait_for_held(0)


def test_on_the_fast_transport_they_count_in_the_queue(tmp_path: Any) -> None:
    with running(tmp_path, transport="fast", grpc_max_threads=1, max_queue=1) as server, channel_to(server) as channel:
        with half_sent(channel, (rpc.CLASSIFY,), each=2):
            for method in (rpc.PREDICT, rpc.CLASSIFY):
                assert code_of(channel, method) is grpc.StatusCode.RESOURCE_EXHAUSTED
        server.wait_for_held(0)


@pytest.mark.parametrize("method", [rpc.PREDICT, rpc.CLASSIFY, rpc.GET_MODEL_STATUS])
def test_a_call_that_ends_without_a_message_is_told_so(start: Start, method: str) -> None:
    with start() as server, grpc.insecure_channel(server.address) as channel:
        with pytest.raises(grpc.RpcError, match="requires exactly one request message") as refused:
            channel.stream_unary(method)(iter(()), timeout=PATIENCE_S)
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


def channel_to(server: Running) -> grpc.Channel:
    return grpc.insecure_channel(server.address)
