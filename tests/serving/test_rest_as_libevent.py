"""What the HTTP server in front of the real API answers before any of it is asked: by method, path and encoding."""

import gzip
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving.running import PATIENCE_S, Running, request, running

PATH = "/v1/models/double:predict"
BODY = b'{"instances": [[1.0, 2.0]]}'
METRICS = "/monitoring/prometheus/metrics"
PAGE = "<HTML><HEAD>\n<TITLE>{0} {1}</TITLE>\n</HEAD><BODY>\n<H1>{1}</H1>\n</BODY></HTML>\n"
EMPTY = {"error": "JSON Parse error: The document is empty"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server with a metrics page; gRPC has no part in these tests."""
    directory: Path = tmp_path_factory.mktemp("served")
    (directory / "monitoring").write_text("prometheus_config { enable: true }")
    with running(directory, transport="public", monitoring_config_file=str(directory / "monitoring")) as started:
        yield started


def answered(server: Running, sent: bytes) -> tuple[bytes, bytes, bytes]:
    """The status, the content type and the body that raw bytes are answered with."""
    with socket.create_connection(("127.0.0.1", server.rest_port), PATIENCE_S) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        got = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = got.partition(b"\r\n\r\n")
    types = [line.partition(b": ")[2] for line in head.split(b"\r\n") if line.startswith(b"content-type: ")]
    return head.split(b" ", 2)[1], types[0], body


@pytest.mark.parametrize("target", ["/", "/healthz", METRICS, "/v1/models/double", PATH])
@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PROPFIND", "FOO", "get"])
def test_other_methods_are_not_implemented(server: Running, method: str, target: str) -> None:
    sent = f"{method} {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode()
    assert answered(server, sent) == (b"501", b"text/html", PAGE.format(501, "Not Implemented").encode())


def test_connect_with_an_authority_is_not_implemented_either(server: Running) -> None:
    sent = b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    assert answered(server, sent) == (b"501", b"text/html", PAGE.format(501, "Not Implemented").encode())


def test_what_is_no_http_gets_the_page_of_a_bad_request(server: Running) -> None:
    for sent in (b"\x00\x01\x02\r\n\r\n", b"GET / HTTP/1.1\r\nHost\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"):
        assert answered(server, sent) == (b"400", b"text/html", PAGE.format(400, "Bad Request").encode())


@pytest.mark.parametrize(
    ("target", "name"),
    [("/v1/models/double#x", "double#x"), ("/v1/models/double?", "double?"), ("/v1/models/d?a=b#", "d?a=b#")],
)
def test_query_and_fragment_are_of_the_name(server: Running, target: str, name: str) -> None:
    sent = f"GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode()
    status, _, body = answered(server, sent)
    assert (status, json.loads(body)) == (b"404", {"error": f"Could not find any versions of model {name}"})


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "OPTIONS", "DELETE", "PATCH"])
def test_the_metrics_page_is_shown_for_any_method_and_for_its_path_alone(server: Running, method: str) -> None:
    page = request(server.rest_port, method, METRICS, b"{}")
    assert (page.status, page.headers["content-type"]) == (200, "text/plain")
    assert b":tensorflow:serving:request_count" in page.body
    wrong = request(server.rest_port, method, f"{METRICS}?x=1")
    assert (wrong.status, wrong.headers["content-type"]) == (400, "text/plain")
    assert wrong.body == f"Unexpected path: {METRICS}?x=1. Should be {METRICS}".encode()


@pytest.mark.parametrize(
    "sent",
    [BODY, b"", b"\x1f\x8b", gzip.compress(BODY) + b"rest", *(gzip.compress(BODY)[:-cut] for cut in (1, 6, 8, 12))],
)
def test_a_body_that_is_no_gzip_though_it_says_so_is_an_empty_one(server: Running, sent: bytes) -> None:
    answer = server.post(PATH, sent, {"Content-Encoding": "gzip"})
    assert (answer.status, json.loads(answer.body)) == (400, EMPTY)
    assert server.post(PATH, gzip.compress(BODY), {"Content-Encoding": "gzip"}).status == 200


def test_gzip_is_looked_for_in_small_letters(server: Running) -> None:
    assert server.post(PATH, BODY, {"Content-Encoding": "GZIP"}).status == 200
    answer = server.post(PATH, gzip.compress(BODY), {"Content-Encoding": "GZIP"})
    assert (answer.status, json.loads(answer.body)) == (400, {"error": "JSON Parse error: Invalid value. at offset: 0"})
