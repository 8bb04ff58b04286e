"""Requests that are broken at random: each gets an answer that a client can understand, and nothing is left behind."""

import gc
import http.client
import random
import threading
import tracemalloc
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from tests.serving.running import PATIENCE_S, Running, predict, predict_body, running
from toolkit.wire import rpc

METHODS = (rpc.PREDICT, rpc.CLASSIFY, rpc.REGRESS, rpc.MULTI_INFERENCE, rpc.GET_MODEL_METADATA, rpc.GET_MODEL_STATUS)
PATHS = ("/v1/models/double:predict", "/v1/models/double:classify", "/v1/models/double/versions/1:predict")
BODIES = (
    b'{"instances": [[1.0, 2.0]]}',
    b'{"inputs": {"x": [[1, 2]]}}',
    b'{"signature_name": "a", "instances": [{"x": 1}]}',
)
PADDING = b" " * 20_000  # which JSON ignores
COUNTS = pytest.mark.parametrize("count", [300, pytest.param(20_000, marks=pytest.mark.long)])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("malformed"), transport="fast") as started:
        yield started


def broken(body: bytes, chance: random.Random) -> bytes:
    """The bytes with a few changed, taken out, doubled or put in."""
    made = bytearray(body)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(made) + 1)
        until = min(len(made), at + chance.randint(0, 6))
        made[at:until] = chance.choice([b"", made[at:until] * 2, chance.randbytes(chance.randint(1, 6))])
    return bytes(made)


@COUNTS
def test_broken_grpc_requests(server: Running, count: int) -> None:
    chance = random.Random(count)
    with grpc.insecure_channel(server.address) as channel:
        calls = [channel.unary_unary(method) for method in METHODS]
        ended = {ending(chance.choice(calls), broken(predict_body(2), chance)) for _ in range(count)}
        assert predict(channel)[0]["y"].shape == (1, 2)
    # The real server answers bytes that are no message with INTERNAL and not a word.
    caused = {"INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "UNIMPLEMENTED"}
    assert {code for code, _ in ended} <= caused | {"OK", "INTERNAL"}
    assert {details for code, details in ended if code == "INTERNAL"} <= {""}


def ending(call: Any, body: bytes) -> tuple[str, str]:
    """The code and details that a call ends with."""
    try:
        call(body, timeout=PATIENCE_S)
    except grpc.RpcError as error:
        return error.code().name, error.details() or ""
    return "OK", ""


@COUNTS
def test_broken_rest_requests(server: Running, count: int) -> None:
    chance = random.Random(count)
    threads = threading.active_count()
    ask_broken(server, chance, count)
    assert threading.active_count() <= threads + server.host.settings.rest_capacity.threads


def test_nothing_of_a_broken_rest_request_stays_in_memory(server: Running) -> None:
    chance = random.Random(1)
    ask_broken(server, chance, 50, PADDING)
    tracemalloc.start()
    try:
        ask_broken(server, chance, 300, PADDING)
        gc.collect()
        kept_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept_bytes < 50 * len(PADDING)  # what is known of paths, heads and forms; the bodies are six times that


def ask_broken(server: Running, chance: random.Random, count: int, padding: bytes = b"") -> None:
    """So many broken requests over one connection, each with these bytes behind it."""
    connection = http.client.HTTPConnection("127.0.0.1", server.rest_port, timeout=PATIENCE_S)
    for _ in range(count):
        connection.request("POST", chance.choice(PATHS), broken(chance.choice(BODIES), chance) + padding)
        answer = connection.getresponse()
        text = answer.read()
        assert answer.status in (200, 400, 404), text
        assert text
    connection.close()
