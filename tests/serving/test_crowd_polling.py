"""The second thread that polls: asleep until calls come together, and gone with its queue."""

import queue
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.serving.running import PATIENCE_S, running
from toolkit.serving.crowd_polling import MOMENT_S, CrowdPolling
from toolkit.serving.fast_rpc_server import FastRpcServer

NOTHING, ENDED = "nothing", "ended"


@dataclass
class Sockets:
    """A queue whose every poll lasts until it is told what to give."""

    polled: "queue.SimpleQueue[float | None]" = field(default_factory=queue.SimpleQueue)
    given: "queue.SimpleQueue[str]" = field(default_factory=queue.SimpleQueue)

    def poll(self, deadline: float | None = None) -> SimpleNamespace:
        self.polled.put(deadline)
        return SimpleNamespace(completion_type=self.given.get(timeout=PATIENCE_S))

    def shutdown(self) -> None:
        self.given.put(ENDED)


@pytest.fixture
def sockets() -> Sockets:
    return Sockets()


@pytest.fixture
def crowd(sockets: Sockets) -> Iterator[CrowdPolling]:
    made = CrowdPolling(sockets, ENDED, clock=lambda: 100.0)
    made.start()
    yield made
    made.stop()
    made._thread.join(PATIENCE_S)
    assert not made._thread.is_alive()


def test_it_polls_for_a_moment_after_calls_came_together(crowd: CrowdPolling, sockets: Sockets) -> None:
    crowd.help()

    assert sockets.polled.get(timeout=PATIENCE_S) == 100.0 + MOMENT_S


def test_it_goes_on_where_calls_come_together_meanwhile(crowd: CrowdPolling, sockets: Sockets) -> None:
    for _ in range(3):
        crowd.help()
        sockets.polled.get(timeout=PATIENCE_S)
        crowd.help()
        sockets.given.put(NOTHING)
        sockets.polled.get(timeout=PATIENCE_S)
        sockets.given.put(NOTHING)

    with pytest.raises(queue.Empty):  # it waits; the time can only end in silence
        sockets.polled.get(timeout=0.1)


def test_one_that_never_helped_ends_too(sockets: Sockets) -> None:
    made = CrowdPolling(sockets, ENDED)
    made.start()
    made.stop()

    made._thread.join(PATIENCE_S)
    assert not made._thread.is_alive()


def test_the_server_ends_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GRPC_EXPERIMENTS", "-event_engine_listener")
    with running(tmp_path) as server:
        rpc = server.host._rpc
        assert isinstance(rpc, FastRpcServer)
        assert rpc._crowd is not None
        thread = rpc._crowd._thread
        assert thread.is_alive()

    thread.join(PATIENCE_S)
    assert not thread.is_alive()
