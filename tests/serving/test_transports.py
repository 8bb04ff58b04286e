"""The fast transport is taken where it works, and the public one, with a word about it, where it does not."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from toolkit.serving import transports
from toolkit.serving.core_listener import polled_sockets
from toolkit.serving.crowd_polling import CrowdPolling
from toolkit.serving.fast_rpc_server import FastRpcServer
from toolkit.serving.pooled_calls import PooledCalls
from toolkit.serving.rpc_calls import RpcAnswer
from toolkit.serving.rpc_server import RpcServer

PATIENCE_S = 30.0


@pytest.fixture(autouse=True)
def asked_anew(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What was found for another test does not count, and a machine that does ten other things takes its time."""
    monkeypatch.setattr(transports, "_CHECK_TIMEOUT_S", PATIENCE_S)
    transports.self_check.cache_clear()
    yield
    transports.self_check.cache_clear()


def test_the_fast_transport_works_with_the_grpcio_that_is_locked() -> None:
    assert transports.self_check() is None
    assert transports.rpc_server("fast") is FastRpcServer


def test_the_public_one_is_taken_where_it_is_wanted() -> None:
    assert transports.rpc_server("public") is RpcServer


def raises(*_: Any) -> None:
    raise AttributeError("no such thing in this grpcio")


def answers_nothing(_: Any, calls: Sequence[Any], __: int) -> list[tuple[Any, RpcAnswer]]:
    return [(call, RpcAnswer(b"", None, ())) for call in calls]


@dataclass(frozen=True)
class Broken:
    """A part of the fast transport that does something else, what is then said, and how long a call is waited for."""

    part: type
    name: str
    instead: Any
    said: str
    within_s: float = PATIENCE_S


@pytest.mark.parametrize(
    "broken",
    [
        Broken(FastRpcServer, "_ask", raises, "no such thing"),
        Broken(PooledCalls, "_answers", answers_nothing, "came back as"),
        Broken(FastRpcServer, "_arrived", raises, "", within_s=1.0),  # no call ever comes back
        Broken(CrowdPolling, "start", raises, "no such thing"),
    ],
)
def test_the_public_one_is_taken_where_the_fast_one_is_broken(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, broken: Broken
) -> None:
    if broken.part is CrowdPolling and not polled_sockets():
        pytest.skip("the core of this process reads its sockets itself")
    monkeypatch.setattr(broken.part, broken.name, broken.instead)
    monkeypatch.setattr(transports, "_CHECK_TIMEOUT_S", broken.within_s)
    assert transports.rpc_server("fast") is RpcServer
    assert "taking public" in caplog.text
    assert broken.said in caplog.text


def test_a_check_that_never_ends_does_not_keep_the_server_from_starting(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(transports, "_check", lambda _: over.wait(10))
    monkeypatch.setattr(transports, "_CHECK_TIMEOUT_S", 0.05)
    assert transports.rpc_server("fast") is RpcServer
    over.set()
