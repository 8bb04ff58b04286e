"""How REST connections end: what was asked is answered, and who has not asked holds nobody up."""

import json
import socket
from pathlib import Path

import pytest

from tests.serving.running import PATIENCE_S, at_once, running

BODY = b'{"instances": [[1.0, 2.0]]}'
HEAD = b"POST /v1/models/double:predict HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(BODY)


def closed(connection: socket.socket) -> bytes:
    """What comes until the other end closes."""
    return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.mark.parametrize("begun", [b"", b"PO", HEAD[:-4], HEAD + BODY + HEAD[:20]])
def test_half_a_head_is_not_waited_for_but_a_body_is(begun: bytes, tmp_path: Path) -> None:
    with running(tmp_path, drain_timeout=10 * PATIENCE_S) as server:
        address = ("127.0.0.1", server.rest_port)
        with (
            socket.create_connection(address, PATIENCE_S) as idle,
            socket.create_connection(address, PATIENCE_S) as busy,
        ):
            idle.sendall(begun)
            busy.sendall(HEAD + BODY[:5])
            # Behind both of them: the loop has read what they sent.
            for _ in range(2):
                assert server.get("/healthz").status == 200
            with at_once(1, server.host.stop) as stopped:
                # Its end waits for the other one's body, so it can only be closed before that.
                got = closed(idle)
                assert got.count(b"HTTP/1.1 200 OK") == begun.count(BODY)
                assert not stopped[0].done()
                busy.sendall(BODY[5:])
                answer = closed(busy)
            stopped[0].result()
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert b"connection: close" in answer.lower()
        assert json.loads(answer.partition(b"\r\n\r\n")[2]) == {"predictions": [[2.0, 4.0]]}
