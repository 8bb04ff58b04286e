"""Connections that break or fall silent under load, over both protocols, and both ways in which gRPC is sent."""

import json
import queue
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.measure.load.relay import Relay, at_run, relayed
from tests.measure.load.reports import report
from tests.measure.load.world import records
from tests.serving.running import Running, predict_body, running
from toolkit.measure.load import core_sender, outcomes, sending, worker
from toolkit.measure.load.arrivals import Bounds, arrivals
from toolkit.measure.load.core_sender import CoreSender
from toolkit.measure.load.grpc_sender import GrpcSender
from toolkit.measure.load.jobs import Job, Route, choose
from toolkit.measure.load.point import Point, Shape
from toolkit.measure.load.records import Records
from toolkit.measure.load.rest_sender import RestSender
from toolkit.measure.load.sending import CORE, Sender
from toolkit.measure.load.tables import tables_of
from toolkit.measure.load.tape import Tape
from toolkit.measure.load.worker import Turn, run
from toolkit.wire import rpc
from toolkit.wire.messages import Endpoint, Protocol

REST_PATH, REST_BODY = "/v1/models/double:predict", b'{"inputs": {"x": [[1.0, 1.0]]}}'
COUNT, RATE, BREAK_AT = 200, 400.0, 60
KINDS: Mapping[str, Callable[..., Sender]] = {"core": CoreSender, "public": GrpcSender, "rest": RestSender}


def route_of(kind: str, port: int) -> Route:
    protocol = Protocol.REST if kind == "rest" else Protocol.GRPC
    endpoint = Endpoint(f"127.0.0.1:{port}", protocol)
    if kind == "rest":
        return Route(endpoint, REST_PATH, (REST_BODY,))
    return Route(endpoint, rpc.PREDICT, (predict_body(),))


def played(kind: str, port: int, directory: Path, timeout_s: float) -> tuple[Records, int, Turn]:
    """COUNT requests at RATE: what was written down, how many connections were made again, and the turn."""
    route = route_of(kind, port)
    due = arrivals("constant", RATE, Bounds(COUNT / RATE), 1)
    job = Job((route,), choose([1.0], [1], COUNT, 1), directory / "tape", COUNT, COUNT / RATE, due, timeout_s=timeout_s)
    tape = Tape(job.tape, job.room)
    turn = Turn(job, tape)
    sender = KINDS[kind](route.endpoint, 4 if kind == "rest" else 1, timeout_s, turn)
    try:
        turn.run([sender], turn._clock())
    finally:
        sender.close()
    return Records(tape.columns(), 0, 1 << 62), sender.lost, turn


def answer_of(kind: str, body: bytes) -> Any:
    return json.loads(body)["outputs"] if kind == "rest" else rpc.decode_predict_response(body).outputs["y"].tolist()


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    with running(tmp_path) as found:
        yield found


@pytest.fixture
def relay(server: Running, kind: str) -> Iterator[Relay]:
    with relayed(server.rest_port if kind == "rest" else server.grpc_port) as found:
        yield found


def test_a_sender_brings_every_answer_and_the_servers_own_times(kind: str, relay: Relay, tmp_path: Path) -> None:
    found, lost, turn = played(kind, relay.port, tmp_path, 10.0)
    assert dict(found.errors) == {}
    assert len(found.corrected_ns) == COUNT
    assert lost == 0
    assert (found.columns["compute"] > 0).all()
    assert b"2" in turn.answers[0, 0] or rpc.decode_predict_response(turn.answers[0, 0]).outputs["y"].tolist() == [
        [2, 2]
    ]


def test_a_load_outlives_its_connections(kind: str, server: Running, relay: Relay, tmp_path: Path) -> None:
    at_run(server.model, BREAK_AT, relay.cut)
    found, lost, turn = played(kind, relay.port, tmp_path, 10.0)
    assert list(found.errors) == ["UNAVAILABLE"]
    assert 1 <= found.errors["UNAVAILABLE"] < COUNT - BREAK_AT
    assert lost >= 1
    assert turn.words[outcomes.of_code(14)]
    # It goes on: the last requests are answered over a connection that was made again.
    assert (found.columns["outcome"][-20:] == outcomes.WELL).all()


def test_a_connection_that_falls_silent_is_time_outs(kind: str, server: Running, relay: Relay, tmp_path: Path) -> None:
    at_run(server.model, BREAK_AT, relay.deafen)
    found, _, _ = played(kind, relay.port, tmp_path, 0.3)
    assert found.count(outcomes.TIMEOUTS) == sum(found.errors.values()) >= 1
    # Each counts with the time it took, or the tail would be hidden.
    assert len(found.corrected_ns) == COUNT
    assert found.corrected_ns.max() >= 0.3e9
    if kind == "rest":  # a request that was given up takes its connection with it
        assert (found.columns["outcome"][-20:] == outcomes.WELL).all()


@pytest.fixture
def fresh_check() -> Iterator[None]:
    sending.self_check.cache_clear()
    yield
    sending.self_check.cache_clear()


def test_the_core_works_with_the_grpcio_that_is_installed(fresh_check: None) -> None:
    assert sending.self_check() is None
    assert sending.client_of(Protocol.GRPC) == CORE


class Collecting:
    """Takes the numbers of those that are over."""

    def __init__(self, *, breaks: bool = False) -> None:
        self.over: queue.SimpleQueue[int] = queue.SimpleQueue()
        self.breaks = breaks

    def sending(self, number: int) -> None:
        pass

    def finished(self, number: int, outcome: int, told: Any, content: bytes | str) -> None:
        self.over.put(number)
        if self.breaks:
            raise RuntimeError("this listener is broken")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("unanswered", [0, 24])
def test_closing_while_answers_come_ends(server: Running, unanswered: int) -> None:
    # Without care the core's queue is freed under the thread that receives, or nobody takes what was cancelled.
    route, connections = route_of("core", server.grpc_port), 12
    for _ in range(3):
        listener = Collecting()
        sender = CoreSender(route.endpoint, connections, 30.0, listener)
        for number in range(6 * connections):
            sender.send(number, route.path, route.bodies[0])
        for _ in range(6 * connections - unanswered):
            listener.over.get(timeout=30)

        sender.close()

        assert not any(thread.is_alive() for thread in sender._receiving)


@pytest.mark.timeout(60)
def test_a_listener_that_breaks_is_heard_of_when_the_load_ends(server: Running) -> None:
    route, listener = route_of("core", server.grpc_port), Collecting(breaks=True)
    sender = CoreSender(route.endpoint, 1, 30.0, listener)
    for number in range(3):
        sender.send(number, route.path, route.bodies[0])
    for _ in range(3):
        listener.over.get(timeout=30)

    with pytest.raises(RuntimeError, match="this listener is broken"):
        sender.close()


def other_send(self: CoreSender, number: int, path: str, body: bytes) -> None:
    raise TypeError("integrated_call() takes another argument")


def wrong_send(self: CoreSender, number: int, path: str, body: bytes) -> None:
    self.over(number, 0, b"another", (), "")


def silent_send(self: CoreSender, number: int, path: str, body: bytes) -> None:
    """Never heard of again."""


@pytest.mark.parametrize(
    ("send", "why"), [(other_send, "TypeError"), (wrong_send, "another"), (silent_send, "came back as None")]
)
def test_a_core_that_does_not_work_gives_way_to_the_public_api_and_the_report_says_so(
    send: Any, why: str, server: Running, tmp_path: Path, fresh_check: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core_sender.CoreSender, "send", send)
    monkeypatch.setattr(sending, "_CHECK_TIMEOUT_S", 0.2)
    monkeypatch.setattr(worker, "take_precedence", lambda **_: None)  # this process is the tests' own
    route = route_of("core", server.grpc_port)
    due = arrivals("constant", RATE, Bounds(0.1), 1)
    job = Job((route,), choose([1.0], [1], len(due), 1), tmp_path / "tape", len(due), 0.1, due)
    shift = run(job, Turn(job, Tape(job.tape, job.room))._clock())
    columns = Tape(job.tape, job.room).columns()
    assert (columns["outcome"] == outcomes.WELL).all()
    assert why in shift.clients[0]
    point = Point(Shape("double", "grpc", 1, "constant", RATE), ("double",), records([1]), client=shift.clients[0])
    shown = " ".join(tables_of(report(point))[0].notes)
    assert "grpcio's public API" in shown
    assert why in shown
    assert Point.from_json(point.to_json()).client == point.client
