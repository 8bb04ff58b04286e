"""gRPC over real sockets, on each transport: what is better than the original, and the standard services."""

import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tests.serving.conftest import Start
from tests.serving.running import PATIENCE_S, TARGET, Running, at_once, predict, predict_body
from toolkit.errors import UnavailableError
from toolkit.serving import fast_rpc_server, rpc_server
from toolkit.wire import protos, rpc
from toolkit.wire.messages import PredictRequest


def channel_to(server: Running) -> Any:
    return grpc.insecure_channel(server.address)


def test_every_answer_says_where_its_time_went(start: Start) -> None:
    with start() as server, channel_to(server) as channel:
        outputs, metadata = predict(channel, rows=3)
        assert np.array_equal(outputs["y"], np.full((3, 2), 2, np.float32))
        assert metadata["tfx-artifact"] == "held"
        assert {f"tfx-{phase}-ns" for phase in ("queue", "parse", "compute", "encode")} <= metadata.keys()
        assert int(metadata["tfx-parse-ns"]) > 0


def test_a_zero_row_batch_is_answered(start: Start) -> None:
    for batching in (False, True):
        with start(enable_batching=batching) as server, channel_to(server) as channel:
            assert predict(channel, rows=0)[0]["y"].shape == (0, 2)


def test_a_message_of_12_8_mb_is_answered_right_on_the_pool_and_where_it_arrives(start: Start) -> None:
    values = np.arange(3_200_000, dtype=np.float32).reshape(-1, 2)
    request = rpc.encode_predict_request(PredictRequest(TARGET, {"x": values}))
    no_limit = [("grpc.max_receive_message_length", -1)]
    with start() as server, grpc.insecure_channel(server.address, no_limit) as channel:
        for _ in range(4):
            body = channel.unary_unary(rpc.PREDICT)(request, timeout=PATIENCE_S)
            assert np.array_equal(rpc.decode_predict_response(body).outputs["y"], values * 2)


def test_more_requests_than_threads_wait_and_all_are_answered(start: Start) -> None:
    with start(held=True, grpc_max_threads=2, max_queue=14) as server, channel_to(server) as channel:
        with at_once(16, lambda: predict(channel)) as answers:
            server.wait_for_held(16)
            server.model.wait_for(inside=2)
            server.model.gate.set()
        assert all(np.all(answer.result()[0]["y"] == 2) for answer in answers)


def test_past_the_queue_a_request_is_refused_at_once_with_a_hint_and_later_ones_are_answered(start: Start) -> None:
    with start(held=True, grpc_max_threads=1, max_queue=1) as server, channel_to(server) as channel:
        with at_once(2, lambda: predict(channel)) as answers:
            server.wait_for_held(2)
            with pytest.raises(grpc.RpcError) as refused:
                predict(channel)
            assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            told = dict(refused.value.trailing_metadata())
            assert int(told["grpc-retry-pushback-ms"]) > 0
            assert told["tfx-queue-ns"] == "0"
            server.model.gate.set()
        assert len([answer.result() for answer in answers]) == 2
        server.wait_for_held(0)
        assert predict(channel)[0]["y"].shape == (1, 2)


def test_far_past_the_queue_nobody_is_sent_away_without_a_reason(start: Start) -> None:
    # By itself grpcio's core begins to cancel calls where 1000 wait for the server to take them.
    many = 3000
    with start(held=True, grpc_max_threads=1, max_queue=50) as server, channel_to(server) as channel:
        server.model.gate.set()
        predict(channel)
        server.model.gate.clear()
        answers = [channel.unary_unary(rpc.PREDICT).future(predict_body(), timeout=PATIENCE_S) for _ in range(many)]
        server.model.wait_for(inside=1)
        server.model.gate.set()
        codes = Counter(answer.code() for answer in answers)
    assert codes.keys() <= {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert codes[grpc.StatusCode.OK] > 0


def test_status_is_answered_though_every_thread_is_taken(start: Start) -> None:
    with start(held=True, grpc_max_threads=1, max_queue=0) as server, channel_to(server) as channel:
        with at_once(1, lambda: predict(channel)):
            server.model.wait_for(inside=1)
            asked = protos.GetModelStatusRequest()
            asked.model_spec.name = "double"
            body = channel.unary_unary(rpc.GET_MODEL_STATUS)(asked.SerializeToString(), timeout=PATIENCE_S)
            server.model.gate.set()
        states = protos.GetModelStatusResponse.FromString(body).model_version_status
        assert [(one.version, one.state) for one in states] == [(1, 30)]


def test_what_nobody_waits_for_any_more_costs_no_work(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    with start(held=True, grpc_max_threads=1) as server, channel_to(server) as channel:
        with at_once(1, lambda: predict(channel)):
            server.model.wait_for(inside=1)
            # As if it had passed by the time that the only thread is free, however slow this machine is.
            for transport in (fast_rpc_server, rpc_server):
                monkeypatch.setattr(transport, "deadline_of", lambda _, now_ns: now_ns)
            late = channel.unary_unary(rpc.PREDICT).future(predict_body(), timeout=PATIENCE_S)
            server.wait_for_held(2)
            server.model.gate.set()
            assert late.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        server.wait_for_held(0)
        assert server.model.runs == 1
        assert int(dict(late.trailing_metadata())["tfx-queue-ns"]) > 0


def test_draining_finishes_sixteen_requests_in_flight(start: Start) -> None:
    with start(held=True, grpc_max_threads=4) as server, channel_to(server) as channel:
        with at_once(16, lambda: predict(channel)) as answers:
            server.wait_for_held(16)
            server.model.wait_for(inside=4)
            # Only now: a request that came after the drain began would rightly be refused.
            with at_once(1, server.host.stop):
                server.wait_until_draining()
                server.model.gate.set()
        assert [answer.result()[0]["y"].shape for answer in answers] == [(1, 2)] * 16


def test_a_taken_port_is_an_error(start: Start) -> None:
    with (
        start() as server,
        pytest.raises(UnavailableError, match=f"cannot listen on 127.0.0.1:{server.grpc_port}: .*in use"),
        start(port=server.grpc_port),
    ):
        pass


def test_a_unix_socket_is_listened_on_besides(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with start(grpc_socket_path=str(path)) as server:
        for address in (f"unix:{path}", server.address):
            with grpc.insecure_channel(address) as channel:
                assert predict(channel)[0]["y"].shape == (1, 2)


@pytest.mark.parametrize(
    ("name", "cause"), [("nowhere/socket", "No such file"), ("long" * 30, "too long"), ("plain", "in use")]
)
def test_a_unix_socket_that_is_not_to_be_had_is_named_with_its_cause(
    start: Start, tmp_path: Path, name: str, cause: str
) -> None:
    (tmp_path / "plain").touch()
    path = tmp_path / name
    with pytest.raises(UnavailableError) as refused, start(grpc_socket_path=str(path)):
        pass
    assert f"cannot listen on unix:{path}: " in refused.value.message
    assert cause in refused.value.message
    assert "--grpc_socket_path" in refused.value.hint
    assert path.exists() == (name == "plain")


def test_a_message_over_the_limit_is_refused_with_both_sizes(start: Start) -> None:
    with start(max_message_mb=0.01) as server, channel_to(server) as channel:
        assert predict(channel, rows=100)[0]["y"].shape == (100, 2)
        with pytest.raises(grpc.RpcError, match=r"larger than max \(\d+ vs. 10000\)") as refused:
            predict(channel, rows=5000)
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_large_and_compressed_messages_pass(start: Start) -> None:
    with start() as server:
        options = [("grpc.max_receive_message_length", -1)]
        with grpc.insecure_channel(server.address, options, grpc.Compression.Gzip) as channel:
            assert predict(channel, rows=1_600_000)[0]["y"].shape == (1_600_000, 2)


def test_channel_arguments_reach_the_server(start: Start) -> None:
    arguments = "grpc.max_receive_message_length=100,grpc.max_connection_age_ms=60000"
    with (
        start(grpc_channel_arguments=arguments) as server,
        channel_to(server) as channel,
        pytest.raises(grpc.RpcError, match="larger than max"),
    ):
        predict(channel, rows=100)


@pytest.mark.parametrize("service", ["", "ModelService", "PredictionService"])
def test_health_is_answered_where_it_was_asked_for(start: Start, service: str) -> None:
    with start(enable_grpc_healthcheck_service=True) as server, channel_to(server) as channel:
        check = health_pb2_grpc.HealthStub(channel).Check
        answer = check(health_pb2.HealthCheckRequest(service=service), timeout=PATIENCE_S)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.RpcError, match="service name unknown") as unknown:
            check(health_pb2.HealthCheckRequest(service="Foo"), timeout=PATIENCE_S)
        assert unknown.value.code() is grpc.StatusCode.NOT_FOUND


def test_without_the_flag_health_is_unimplemented(start: Start) -> None:
    with start() as server, channel_to(server) as channel, pytest.raises(grpc.RpcError) as unknown:
        health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE_S)
    assert unknown.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_reflection_lists_the_services_and_their_messages(start: Start) -> None:
    asked = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="tensorflow.serving.PredictionService"),
    ]
    with start() as server, channel_to(server) as channel:
        info = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo
        listed, file = list(info(iter(asked), timeout=PATIENCE_S))
    names = {service.name for service in listed.list_services_response.service}
    assert {"tensorflow.serving.PredictionService", "tensorflow.serving.ModelService"} <= names
    assert b"PredictRequest" in b"".join(file.file_descriptor_response.file_descriptor_proto)


def test_reflection_and_health_load_no_tensorflow(root: Path) -> None:
    program = (
        "import sys, toolkit.serving.rpc_services, toolkit.serving.host; print('tensorflow.python' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize("body", [b"\xff\xff\xff", b"\x00" * 100, b"\x0a\xff\xff\xff\xff\x7f", predict_body()[:-3]])
def test_a_request_that_is_none_is_an_error_and_nothing_else(start: Start, body: bytes) -> None:
    with start() as server, channel_to(server) as channel:
        for method in (rpc.PREDICT, rpc.CLASSIFY, rpc.GET_MODEL_STATUS, rpc.RELOAD_CONFIG):
            with pytest.raises(grpc.RpcError) as wrong:
                channel.unary_unary(method)(body, timeout=PATIENCE_S)
            assert wrong.value.code() in (grpc.StatusCode.INTERNAL, grpc.StatusCode.INVALID_ARGUMENT)
        assert predict(channel)[0]["y"].shape == (1, 2)


def test_bytes_that_are_no_http2_end_only_their_connection(start: Start) -> None:
    with start() as server, channel_to(server) as channel:
        for noise in (b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 1000, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 100):
            with socket.create_connection(("127.0.0.1", server.grpc_port), PATIENCE_S) as connection:
                connection.sendall(noise)
        assert predict(channel)[0]["y"].shape == (1, 2)
