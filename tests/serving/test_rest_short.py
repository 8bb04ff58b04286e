"""Short Predicts over REST are answered by the thread that reads them as they are on the pool; how a drain ends."""

import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.serving.running import PATIENCE_S, Running, at_once, running
from toolkit.serving.rest_calls import RestCalls

PATH = "/v1/models/double:predict"
BODY = b'{"instances": [[1.0, 2.0]]}'
ANSWER = {"predictions": [[2.0, 4.0]]}


class Client:
    """One connection, by hand: what is sent and when is the test's."""

    def __init__(self, server: Running) -> None:
        self.socket = socket.create_connection(("127.0.0.1", server.rest_port), PATIENCE_S)
        self.reader = self.socket.makefile("rb")

    def send(self, body: bytes = BODY, *more: str, path: str = PATH) -> None:
        self.socket.sendall(asked(body, *more, path=path))

    def receive(self) -> tuple[int, dict[str, str], bytes]:
        status = int(self.reader.readline().split()[1])
        lines = [line.decode("latin-1").strip().partition(": ") for line in iter(self.reader.readline, b"\r\n")]
        headers = {name.lower(): value for name, _, value in lines}
        return status, headers, self.reader.read(int(headers["content-length"]))

    def ask(self, body: bytes = BODY, *more: str, path: str = PATH) -> tuple[int, dict[str, str], bytes]:
        self.send(body, *more, path=path)
        return self.receive()

    def ended(self) -> bool:
        """Whether the server closed the connection, and said nothing more."""
        return self.reader.read() == b""


def asked(body: bytes = BODY, *more: str, path: str = PATH) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: a", f"Content-Length: {len(body)}", *more, "", ""]
    return "\r\n".join(lines).encode() + body


@contextmanager
def client(server: Running) -> Iterator[Client]:
    one = Client(server)
    try:
        yield one
    finally:
        one.reader.close()
        one.socket.close()


@pytest.fixture
def together(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many were answered at a time by the thread that reads."""
    sizes: list[int] = []
    answer = RestCalls.answer_together

    def counted(calls: RestCalls, many: Any) -> Any:
        if not isinstance(many, tuple):  # the pool asks for one
            sizes.append(len(many))
        return answer(calls, many)

    monkeypatch.setattr(RestCalls, "answer_together", counted)
    return sizes


def short(server: Running) -> None:
    """From now on the usual body is short: the first of a kind, often cold, is not."""
    assert server.post(PATH, BODY).status == 200


def fixed(headers: dict[str, str]) -> dict[str, str]:
    varying = {"date": "", "server-timing": re.sub(r"[\d.]+", "", headers["server-timing"])}
    return headers | varying


@pytest.mark.parametrize("cors", [False, True])
def test_the_answer_is_the_pools_to_the_byte(cors: bool, together: list[int], tmp_path: Path) -> None:
    flags: dict[str, Any] = {"rest_api_enable_cors_support": cors}
    with running(tmp_path, transport="public", **flags) as server, client(server) as one:
        pooled = one.ask()
        assert together == []
        direct = one.ask()
        assert together == [1]
    assert (pooled[0], fixed(pooled[1]), pooled[2]) == (direct[0], fixed(direct[1]), direct[2])
    assert json.loads(direct[2]) == ANSWER


@pytest.mark.parametrize(
    ("body", "more", "path"),
    [
        (BODY, ("Expect: 100-continue-not",), PATH),
        (BODY, ("Content-Encoding: identity",), PATH),
        (BODY, ("Connection: close",), PATH),
        (BODY, (), PATH + "?a=b"),
        (BODY, (), "/v1/models/double:nothing"),
        (BODY, (), "/v1/models/double/versions/1:regress"),
    ],
)
def test_what_is_not_usual_goes_through_uvicorn(
    body: bytes, more: tuple[str, ...], path: str, together: list[int], tmp_path: Path
) -> None:
    with running(tmp_path, transport="public") as server, client(server) as one:
        short(server)
        one.ask(body, *more, path=path)
        assert together == []


@pytest.mark.parametrize("wrong", [b"", b"{", b'{"instances": [[1, 2], [3]]}', b'{"instances": [["a", 1]]}', b"[1]"])
def test_an_error_is_answered_and_the_connection_goes_on(wrong: bytes, tmp_path: Path) -> None:
    with running(tmp_path, transport="public") as server, client(server) as one:
        short(server)
        for _ in range(3):
            status, _, body = one.ask(wrong)
            assert (status, list(json.loads(body))) == (400, ["error"])
            assert json.loads(one.ask()[2]) == ANSWER


def test_pipelined_requests_are_answered_in_their_order(tmp_path: Path) -> None:
    with running(tmp_path, transport="public") as server, client(server) as one:
        short(server)
        bodies = [b'{"instances": [[%d.0, 2.0]]}' % number for number in range(5)]
        status = b"GET /v1/models/double HTTP/1.1\r\nHost: a\r\n\r\n"
        one.socket.sendall(asked(bodies[0]) + asked(bodies[1]) + status + b"".join(map(asked, bodies[2:])))
        answers = [json.loads(one.receive()[2]) for _ in range(6)]
        assert "model_version_status" in answers.pop(2)
        assert answers == [{"predictions": [[2.0 * number, 4.0]]} for number in range(5)]


def test_a_body_in_pieces_is_one_body(together: list[int], tmp_path: Path) -> None:
    with running(tmp_path, transport="public") as server, client(server) as one:
        short(server)
        for piece in (asked()[:10], asked()[10:70], asked()[70:-3], asked()[-3:]):
            one.socket.sendall(piece)
        assert json.loads(one.receive()[2]) == ANSWER


def test_with_batching_none_is_answered_by_the_thread_that_reads(together: list[int], tmp_path: Path) -> None:
    with running(tmp_path, transport="public", enable_batching=True) as server, client(server) as one:
        for _ in range(3):
            assert json.loads(one.ask()[2]) == ANSWER
    assert together == []


def test_who_goes_away_keeps_nobody_from_being_answered(tmp_path: Path) -> None:
    with running(tmp_path, transport="public") as server:
        short(server)
        for _ in range(5):
            with client(server) as gone:
                gone.send()
        with client(server) as one:
            assert json.loads(one.ask()[2]) == ANSWER
        server.wait_for_held(0)


def lingering(server: Running, linger_s: float) -> None:
    assert server.host._rest is not None
    server.host._rest._short.linger_s = linger_s


def wait_until_rest_drains(server: Running) -> None:
    pause, until = threading.Event(), time.monotonic() + PATIENCE_S
    rest = server.host._rest
    assert rest is not None
    while not rest._short.draining:
        assert time.monotonic() < until
        pause.wait(0.002)


def test_a_request_in_flight_while_draining_is_answered_and_told_to_close(tmp_path: Path) -> None:
    with running(tmp_path, transport="public", held=True) as server, client(server) as one:
        one.send()
        server.wait_for_held(1)
        with at_once(1, server.host.stop) as stopped:
            wait_until_rest_drains(server)
            server.model.gate.set()
            status, headers, body = one.receive()
            assert (status, headers["connection"], json.loads(body)) == (200, "close", ANSWER)
            assert one.ended()
            stopped[0].result(PATIENCE_S)


@pytest.mark.parametrize("path", [PATH, "http://a" + PATH])
def test_who_asks_on_an_open_connection_while_draining_is_answered_and_told_to_close(path: str, tmp_path: Path) -> None:
    with running(tmp_path, transport="public") as server, client(server) as one:
        one.ask()
        one.ask()
        lingering(server, PATIENCE_S)
        with at_once(1, server.host.stop) as stopped:
            wait_until_rest_drains(server)
            status, headers, body = one.ask(path=path)
            assert (status, headers["connection"], json.loads(body)) == (200, "close", ANSWER)
            assert one.ended()
            stopped[0].result(PATIENCE_S)


@pytest.mark.parametrize("before", [1, 2])
def test_a_request_half_sent_when_the_drain_begins_is_answered(before: int, tmp_path: Path) -> None:
    with running(tmp_path, transport="public") as server, client(server) as one:
        short(server)
        for _ in range(before):  # after two the head is known
            one.ask()
        one.socket.sendall(asked()[:-5])
        server.get("/healthz")  # by now the half is read
        lingering(server, 0.0)
        with at_once(1, server.host.stop) as stopped:
            wait_until_rest_drains(server)
            one.socket.sendall(asked()[-5:])
            status, headers, body = one.receive()
            assert (status, headers["connection"], json.loads(body)) == (200, "close", ANSWER)
            stopped[0].result(PATIENCE_S)


def test_an_idle_connection_does_not_keep_the_server(tmp_path: Path) -> None:
    with running(tmp_path, transport="public") as server, client(server) as one:
        one.ask()
        lingering(server, 0.05)
        server.host.stop()
        assert one.ended()
