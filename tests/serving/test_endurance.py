"""Memory after hundreds of thousands of requests, and versions that are swapped under load; minutes, so for --all."""

import socket
import sys
from collections.abc import Callable
from pathlib import Path

import grpc
import numpy as np
import pytest

from benchmarks.swaps import resident_bytes, swapped_under_load
from tests.golden.replaying import DATA
from tests.serving.running import PATIENCE_S, Running, predict_body, running
from toolkit.wire import rpc
from toolkit.wire.messages import PredictRequest, Target

pytestmark = [pytest.mark.long, pytest.mark.timeout(1500)]
HP2 = DATA / "models" / "saved_model_half_plus_two_cpu" / "00000123"
TOGETHER = 100
REQUESTS = 200_000  # over each protocol
# An allocator keeps pages for later. A leak of 50 bytes a request would be 5 MB in each half.
SLACK_BYTES = 4_000_000


def over_rest(server: Running, number: int) -> int:
    """So many requests on one connection, some of which are wrong; gives how many were answered well."""
    rows = [b"[%d.5, 2.0]" % row for row in range(9)]
    bodies = [b'{"instances": [%s]}' % b", ".join(rows[: 1 + at % 9]) for at in range(TOGETHER - 2)]
    bodies += [b'{"instances": [["a", 1]]}', b"{"]
    head = b"POST /v1/models/double:predict HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"
    asked, good = b"".join(head % len(body) + body for body in bodies), 0
    with socket.create_connection(("127.0.0.1", server.rest_port), PATIENCE_S) as connection:
        reader = connection.makefile("rb")
        for _ in range(number // TOGETHER):
            connection.sendall(asked)
            for _ in bodies:
                good += reader.readline().split()[1] == b"200"
                length = 0
                for line in iter(reader.readline, b"\r\n"):
                    name, _, value = line.partition(b":")
                    length = int(value) if name.lower() == b"content-length" else length
                assert len(reader.read(length)) == length
    return good


def over_grpc(server: Running, number: int) -> int:
    """The same over gRPC."""
    good = 0
    with grpc.insecure_channel(server.address) as channel:
        call = channel.unary_unary(rpc.PREDICT)
        for _ in range(number // TOGETHER):
            bodies = [*(predict_body(1 + at % 9) for at in range(TOGETHER - 2)), b"", b"nonsense"]
            futures = [call.future(body, timeout=PATIENCE_S) for body in bodies]
            good += sum(future.exception() is None for future in futures)
    return good


@pytest.mark.parametrize("ask", [over_rest, over_grpc], ids=["rest", "grpc"])
@pytest.mark.parametrize("transport", ["fast", "public"])
def test_memory_is_flat_over_two_hundred_thousand_requests(
    ask: Callable[[Running, int], int], transport: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if ask is over_rest and transport == "public":
        pytest.skip("REST is the same under both")
    with running(tmp_path, transport=transport) as server:
        ask(server, REQUESTS // 10)
        before = resident_bytes()
        good = ask(server, REQUESTS // 2)
        middle = resident_bytes()
        good += ask(server, REQUESTS // 2)
        after = resident_bytes()
    with capsys.disabled():
        sys.stdout.write(
            f"\n{transport} {ask.__name__}: {before / 1e6:.1f}, {middle / 1e6:.1f}, {after / 1e6:.1f} MB\n"
        )
    assert good == REQUESTS * (TOGETHER - 2) // TOGETHER
    assert after - middle < SLACK_BYTES
    assert after - before < 2 * SLACK_BYTES


def test_a_hundred_swaps_under_load_fail_no_request_and_leave_nothing_behind(
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("tensorflow")
    request = PredictRequest(Target("m"), {"x": np.array([1.0, 2.0, 5.0], np.float32)})
    found = swapped_under_load(HP2, request, swaps=100)
    with capsys.disabled():
        sys.stdout.write(f"\n{found}\n")
    assert list(found.failures) == []
    assert found.answers > found.swaps
    early, _, late = found.memory
    # Eighty swaps lie between. A version of this model that stays is 76 kB; requests in flight come and go.
    assert late.used_bytes - early.used_bytes < 80 * 25_000
    # Garbage that waits for Python's collector, and pages that the allocator keeps for it.
    assert late.resident_bytes - early.resident_bytes < 80 * 200_000
