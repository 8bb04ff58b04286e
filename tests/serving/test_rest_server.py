"""REST over real sockets: pages, headers, limits, overload, drain, and requests that are none."""

import gzip
import http.client
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.serving.running import PATIENCE_S, Page, Running, at_once, running
from toolkit.errors import UnavailableError, UsageError
from toolkit.serving.settings import settings_of
from toolkit.wire.messages import ModelConfig

Start = Callable[..., AbstractContextManager[Running]]
PATH = "/v1/models/double:predict"
BODY = b'{"instances": [[1.0, 2.0]]}'
ANSWER = {"predictions": [[2.0, 4.0]]}


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Starts a server; gRPC has no part in these tests."""

    @contextmanager
    def started(**flags: Any) -> Iterator[Running]:
        with running(tmp_path, transport="public", **flags) as server:
            yield server

    return started


def test_every_answer_says_where_its_time_went(start: Start) -> None:
    with start() as server:
        answer = server.post(PATH, BODY)
    assert json.loads(answer.body) == ANSWER
    timing = answer.headers["server-timing"]
    assert [part.split(";")[0] for part in timing.split(", ")] == ["queue", "parse", "compute", "encode", "artifact"]
    assert timing.endswith('artifact;desc="held"')


def test_a_zero_row_batch_is_answered(start: Start) -> None:
    with start(enable_batching=True) as server:
        answer = server.post(PATH, b'{"inputs": []}')
    assert (answer.status, json.loads(answer.body)) == (200, {"outputs": []})


def test_it_is_alive_and_ready_and_not_ready_while_it_drains(start: Start) -> None:
    with start() as server:
        assert server.get("/healthz").status == 200
        assert (server.get("/readyz").status, server.host.is_ready()) == (200, True)
        server.host._ending.set()
        assert server.get("/readyz").status == 503
        assert server.get("/healthz").status == 200


def test_cors_headers_come_with_their_flag_only(start: Start) -> None:
    for flag, expected in ((True, "*"), (False, None)):
        with start(rest_api_enable_cors_support=flag) as server:
            assert server.post(PATH, BODY).headers.get("access-control-allow-origin") == expected


def test_a_gzipped_body_is_read(start: Start) -> None:
    with start() as server:
        answer = server.post(PATH, gzip.compress(BODY), {"Content-Encoding": "gzip"})
        assert json.loads(answer.body) == ANSWER


def test_a_body_in_chunks_is_read(start: Start) -> None:
    with start() as server:
        for _ in range(3):
            connection = http.client.HTTPConnection("127.0.0.1", server.rest_port, timeout=PATIENCE_S)
            try:
                connection.request("POST", PATH, iter((BODY[:5], BODY[5:])), encode_chunked=True)
                assert json.loads(connection.getresponse().read()) == ANSWER
            finally:
                connection.close()


def test_gzip_in_several_members_and_among_other_words_is_read(start: Start) -> None:
    with start() as server:
        for encoding in ("gzip", "x-gzip", "gzip, identity"):
            sent = gzip.compress(BODY[:9]) + gzip.compress(BODY[9:])
            assert json.loads(server.post(PATH, sent, {"Content-Encoding": encoding}).body) == ANSWER


def test_a_body_over_the_limit_is_refused_even_if_it_only_unfolds_to_it(start: Start) -> None:
    body = b'{"instances": [' + b"[1.0, 2.0]," * 2000 + b"[1.0, 2.0]]}"
    with start(max_message_mb=0.01) as server:
        for sent, headers in ((body, {}), (gzip.compress(body), {"Content-Encoding": "gzip"})):
            answer = server.post(PATH, sent, headers)
            assert (answer.status, json.loads(answer.body)) == (
                413,
                {"error": "The request is larger than 10000 bytes (--max-message-mb)"},
            )
        assert server.post(PATH, BODY).status == 200


def test_a_request_that_takes_too_long_is_given_up(start: Start) -> None:
    with start(held=True, rest_api_timeout_in_ms=50) as server:
        answer = server.post(PATH, BODY)
    assert (answer.status, json.loads(answer.body)) == (504, {"error": "Timed out waiting for notification"})


def phases_ms(answer: Page) -> dict[str, float]:
    """The Server-Timing header."""
    parts = (part.partition(";dur=") for part in answer.headers["server-timing"].split(", "))
    return {name: float(duration) for name, _, duration in parts if duration}


def test_a_request_that_is_given_up_says_where_its_time_went(start: Start) -> None:
    with start(held=True, rest_api_num_threads=1, rest_api_timeout_in_ms=50) as server:
        ran = phases_ms(server.post(PATH, BODY))
        waited = phases_ms(server.post(PATH, BODY))  # the first one still has the only thread
        page = server.host.metrics.page().decode()
        server.model.gate.set()
    assert ran["compute"] > 0
    assert sum(ran.values()) >= 49  # to a clock tick the 50 ms of the limit
    assert (waited["queue"] >= 49, waited["compute"]) == (True, 0)
    assert 'tfx_refused_total{entrypoint="REST",reason="deadline passed"} 1.0' in page


def test_a_timeout_of_zero_gives_no_request_up(start: Start) -> None:
    with start(rest_api_timeout_in_ms=0) as server:
        # Where it arrives, too, once it is known to be short.
        for _ in range(4):
            assert json.loads(server.post(PATH, BODY).body) == ANSWER


def test_past_the_queue_a_request_is_refused_at_once_with_a_hint_and_later_ones_are_answered(start: Start) -> None:
    with start(held=True, rest_api_num_threads=1, max_queue=1) as server:
        with at_once(2, lambda: server.post(PATH, BODY)) as answers:
            server.wait_for_held(2)
            refused = server.post(PATH, BODY)
            assert (refused.status, refused.headers["retry-after"]) == (429, "1")
            assert server.get("/v1/models/double").status == 200
            server.model.gate.set()
        assert [answer.result().status for answer in answers] == [200, 200]
        server.wait_for_held(0)
        assert server.post(PATH, BODY).status == 200


def test_draining_finishes_sixteen_requests_in_flight(start: Start) -> None:
    with start(held=True, rest_api_num_threads=4) as server:
        with at_once(16, lambda: server.post(PATH, BODY)) as answers:
            server.wait_for_held(16)
            server.model.wait_for(inside=4)
            # Only now: a request that came after the drain began would rightly be refused.
            with at_once(1, server.host.stop):
                server.wait_until_draining()
                server.model.gate.set()
        assert [answer.result().status for answer in answers] == [200] * 16


def test_a_taken_port_is_an_error(start: Start) -> None:
    with (
        start() as server,
        pytest.raises(UnavailableError, match=f"cannot listen on 127.0.0.1:{server.rest_port}"),
        start(rest_api_port=server.rest_port),
    ):
        pass


def test_one_port_for_both_is_an_error() -> None:
    with pytest.raises(UsageError, match="both 8500"):
        settings_of({"port": 8500, "rest_api_port": 8500}, [ModelConfig("m", "/m")])


def test_metrics_have_the_real_servers_names(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "monitoring.config"
    file.write_text('prometheus_config { enable: true path: "/metrics/here" }')
    with start(monitoring_config_file=str(file)) as server:
        server.post(PATH, BODY)
        server.post(PATH, b"{}")
        server.post("/v1/models/madeup:predict", BODY)
        page = server.get("/metrics/here")
    assert page.headers["content-type"] == "text/plain"
    families = {family.name: family for family in text_string_to_metric_families(page.body.decode())}
    counts = {
        (sample.labels["model_name"], sample.labels["status"]): sample.value
        for sample in families[":tensorflow:serving:request_count"].samples
    }
    assert counts == {("double", "OK"): 1, ("double", "INVALID_ARGUMENT"): 1}
    latency = families[":tensorflow:serving:request_latency"]
    limits = [sample.labels["le"] for sample in latency.samples if sample.labels.get("le")]
    assert limits[:2] == ["10.0", "18.0"]
    runtimes = families[":tensorflow:serving:runtime_latency"].samples
    # The real server says TF1 for a SavedModel; what else answers has its own name, and what ran nothing has none.
    assert {sample.labels["runtime"] for sample in runtimes} == {"held"}
    assert "tfx_phase_seconds" in families


def test_without_a_monitoring_file_there_is_no_metrics_page(start: Start) -> None:
    with start() as server:
        assert server.get("/monitoring/prometheus/metrics").status == 404


NOISE = (
    b"\x00\x01\x02\x03\r\n\r\n",
    b"GET\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"POST /v1/models/double:predict HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    b"POST /v1/models/double:predict HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"GET /" + b"a" * 100_000,
    b"GET /v1/models/\xff\xfe HTTP/1.1\r\nHost: a\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
)


@pytest.mark.parametrize("noise", NOISE)
def test_bytes_that_are_no_request_get_an_error_or_nothing(start: Start, noise: bytes) -> None:
    with start() as server:
        with socket.create_connection(("127.0.0.1", server.rest_port), PATIENCE_S) as connection:
            connection.sendall(noise)
            connection.shutdown(socket.SHUT_WR)
            got = b"".join(iter(lambda: connection.recv(65536), b""))
        assert not got or got.split()[1][:1] == b"4"
        assert server.post(PATH, BODY).status == 200


def test_a_connection_is_kept_for_the_next_request(start: Start) -> None:
    ask = b"POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s" % (PATH.encode(), len(BODY), BODY)
    with start() as server, socket.create_connection(("127.0.0.1", server.rest_port), PATIENCE_S) as connection:
        reader = connection.makefile("rb")
        for _ in range(3):
            connection.sendall(ask)
            assert reader.readline() == b"HTTP/1.1 200 OK\r\n"
            length = 0
            for line in iter(reader.readline, b"\r\n"):
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            assert json.loads(reader.read(length)) == ANSWER
