"""What the parser said of a head is remembered, and a request that begins with the same bytes means the same."""

import json
from itertools import pairwise
from pathlib import Path

import pytest

from tests.serving.running import running
from tests.serving.test_rest_short import ANSWER, BODY, PATH, asked, client, short
from toolkit.serving import rest_short
from toolkit.serving.paces import Pace
from toolkit.serving.rest_protocol import DirectProtocol
from toolkit.serving.rest_short import ShortCalls


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What uvicorn's parser said of each request that it saw."""
    seen: list[bytes] = []
    complete = DirectProtocol.on_headers_complete

    def noted(self: DirectProtocol) -> None:
        seen.append(self.url)
        complete(self)

    monkeypatch.setattr(DirectProtocol, "on_headers_complete", noted)
    return seen


def test_a_head_that_was_parsed_once_is_known_on_every_connection(parsed: list[bytes], tmp_path: Path) -> None:
    with running(tmp_path, transport="public") as server, client(server) as one, client(server) as other:
        short(server)
        one.ask()
        parsed.clear()
        for again in (one, other, one):
            assert json.loads(again.ask()[2]) == ANSWER
        assert parsed == []
        assert json.loads(one.ask(BODY, "X-Other: head")[2]) == ANSWER
        assert json.loads(one.ask(b'{"instances": [[10.0, 2.0]]}')[2]) == {"predictions": [[20.0, 4.0]]}
        assert parsed == [PATH.encode()] * 2


def test_a_body_behind_a_known_head_may_come_in_pieces(parsed: list[bytes], tmp_path: Path) -> None:
    with running(tmp_path, transport="public") as server, client(server) as one:
        short(server)
        one.ask()
        parsed.clear()
        head = len(asked()) - len(BODY)
        for ends in ((head,), (head + 5,), (head, head + 1, head + 2), (len(asked()) - 1,)):
            for begin, end in pairwise((0, *ends, len(asked()))):
                one.socket.sendall(asked()[begin:end])
                server.get("/healthz")  # by now the piece is read
            assert json.loads(one.receive()[2]) == ANSWER
        assert set(parsed) == {b"/healthz"}


def test_what_comes_behind_a_known_request_is_the_next_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(ShortCalls, "pace_of", lambda *_: Pace(pooled=0))  # whatever it is, it is short
    with running(tmp_path, transport="public") as server, client(server) as one:
        short(server)
        one.ask()
        status = b"GET /v1/models/double HTTP/1.1\r\nHost: a\r\n\r\n"
        for _ in range(2):
            one.socket.sendall(asked() + asked(b'{"instances": [[5.0, 2.0]]}') + status)
            assert json.loads(one.receive()[2]) == ANSWER
            assert json.loads(one.receive()[2]) == {"predictions": [[10.0, 4.0]]}
            assert "model_version_status" in json.loads(one.receive()[2])
            assert json.loads(one.ask()[2]) == ANSWER


def test_empty_lines_inside_a_body_end_no_head(parsed: list[bytes], tmp_path: Path) -> None:
    body = b'{"instances":\r\n\r\n[[1.0,\r\n\r\n2.0]]}'
    with running(tmp_path, transport="public") as server, client(server) as one:
        for _ in range(3):  # the first goes to the pool, the second comes behind that, the third is remembered
            assert json.loads(one.ask(body)[2]) == ANSWER
        parsed.clear()
        assert json.loads(one.ask(body)[2]) == ANSWER
        assert parsed == []


def test_empty_lines_around_a_request_belong_to_none(tmp_path: Path) -> None:
    with running(tmp_path, transport="public") as server, client(server) as one:
        short(server)
        for before, after in ((b"", b"\r\n"), (b"\r\n", b""), (b"", b"\r\n\r\n")):
            for _ in range(3):
                one.socket.sendall(before + asked() + after)
                assert json.loads(one.receive()[2]) == ANSWER
                assert json.loads(one.ask()[2]) == ANSWER


def test_heads_that_clients_make_up_are_forgotten(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(rest_short, "_HEADS_KEPT", 3)
    with running(tmp_path, transport="public") as server, client(server) as one:
        assert server.host._rest is not None
        short(server)
        for number in range(10):
            assert json.loads(one.ask(BODY, f"X-Trace: {number}")[2]) == ANSWER
        heads = server.host._rest._short.heads
        assert 0 < len(heads) <= 3
        one.ask(BODY, "X-Long: " + "a" * 5000)
        assert all(len(head) <= 4096 for head in heads)
