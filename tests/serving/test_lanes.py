"""Calls that wait for a core: so many at a time, in their order, several together where that is cheaper."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import numpy as np
import pytest

from tests.serving.running import PATIENCE_S, TARGET, Running, at_once, predict, running
from toolkit.serving import paces, pooled_calls
from toolkit.serving.fast_rpc_server import FastRpcServer
from toolkit.serving.lanes import TOGETHER_NS, Lane
from toolkit.serving.pool import BoundedPool
from toolkit.wire import rpc
from toolkit.wire.messages import PredictRequest

WIDTH = 2


@dataclass
class Work:
    """Answers groups, each as soon as it is let; time passes on a clock of its own."""

    alone_ns: int = 1_000_000
    among_ns: int = 1_000_000
    breaks: bool = False
    refuses: bool = False
    now_ns: int = 0
    groups: list[list[int]] = field(default_factory=list)
    most_inside: int = 0
    inside: int = 0
    let: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    began: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    lock: threading.Lock = field(default_factory=threading.Lock)

    def clock(self) -> int:
        return self.now_ns

    def __call__(self, group: Sequence[int]) -> int:
        with self.lock:
            self.inside += 1
            self.most_inside = max(self.most_inside, self.inside)
            self.groups.append(list(group))
        self.began.release()
        assert self.let.acquire(timeout=PATIENCE_S)
        with self.lock:
            self.inside -= 1
            self.now_ns += (self.alone_ns if len(group) == 1 else self.among_ns) * len(group)
        if self.breaks:
            raise RuntimeError("this group is lost")
        return 0 if self.refuses else len(group)


@contextmanager
def lane_of(work: Work, *, width: int = WIDTH, joins: bool = False) -> Iterator[tuple[Lane[int], BoundedPool]]:
    pool = BoundedPool(8, 1000, "lane")
    lane = Lane(pool, width, work, work.clock)
    lane.joins = joins
    try:
        yield lane, pool
    finally:
        for _ in range(1000):
            work.let.release()
        pool.shutdown(wait=True)


def began(work: Work, count: int) -> None:
    for _ in range(count):
        assert work.began.acquire(timeout=PATIENCE_S)


def finish(work: Work, pool: BoundedPool) -> None:
    event, end = threading.Event(), time.monotonic() + PATIENCE_S
    while pool.held:
        assert time.monotonic() < end
        work.let.release()
        event.wait(0.0005)


def play(work: Work, lane: Lane[int], pool: BoundedPool, count: int) -> None:
    """So many calls that wait together, until all are answered."""
    for number in range(count):
        lane.add(number)
    finish(work, pool)


def test_no_more_run_than_there_are_cores() -> None:
    work = Work()
    with lane_of(work) as (lane, pool):
        for number in range(50):
            lane.add(number)
        began(work, WIDTH)
        assert (pool.held, len(work.groups)) == (50, WIDTH)
        finish(work, pool)
    assert work.most_inside == WIDTH
    assert sorted(number for group in work.groups for number in group) == list(range(50))
    assert all(len(group) == 1 for group in work.groups)


def test_what_waits_together_is_taken_together_and_each_thread_leaves_the_other_its_share() -> None:
    work = Work(among_ns=500_000)
    with lane_of(work, joins=True) as (lane, pool):
        for number in range(2 + 8):
            lane.add(number)
        began(work, WIDTH)
        work.let.release()
        began(work, 1)
        finish(work, pool)
    assert [len(group) for group in work.groups[:2]] == [1, 1], "nothing else was there"
    assert len(work.groups[2]) == 4, "half of the eight that wait"


def test_a_group_is_no_longer_than_callers_may_wait_for_each_other() -> None:
    work = Work(alone_ns=TOGETHER_NS // 2, among_ns=TOGETHER_NS // 3)
    with lane_of(work, width=1, joins=True) as (lane, pool):
        play(work, lane, pool, 100)
    assert max(map(len, work.groups[2:])) == 3
    assert [number for group in work.groups for number in group] == list(range(100)), "in their order"


def test_where_calls_are_dearer_together_they_run_alone_but_for_a_trial() -> None:
    work = Work(alone_ns=100_000, among_ns=200_000)
    with lane_of(work, width=1, joins=True) as (lane, pool):
        play(work, lane, pool, 400)
    alone = sum(len(group) == 1 for group in work.groups)
    assert alone > 200
    assert 1 < len(work.groups) - alone < 8


def test_what_was_refused_says_nothing_of_what_calls_take() -> None:
    work = Work(alone_ns=TOGETHER_NS // 2, among_ns=TOGETHER_NS // 3)
    with lane_of(work, width=1, joins=True) as (lane, pool):
        play(work, lane, pool, 20)
        known = dict(lane._each_ns)
        assert known[True] > 0
        work.refuses, work.alone_ns, work.among_ns = True, 1000, 1000
        play(work, lane, pool, 200)
        assert lane._each_ns == known
    assert max(map(len, work.groups[2:])) == 3


def test_two_calls_too_long_to_wait_for_each_other_are_tried_together_once() -> None:
    work = Work(alone_ns=2 * TOGETHER_NS, among_ns=TOGETHER_NS // 4)
    with lane_of(work, width=1, joins=True) as (lane, pool):
        play(work, lane, pool, 100)
    sizes = [len(group) for group in work.groups]
    assert sizes[:63] == [1] * 63
    assert sizes[63] == 2
    assert max(sizes[64:]) == 4, "since that was cheaper"


def test_a_group_that_breaks_does_not_end_the_lane(caplog: pytest.LogCaptureFixture) -> None:
    work = Work(breaks=True)
    with lane_of(work) as (lane, pool):
        for number in range(6):
            lane.add(number)
        finish(work, pool)
        assert len(work.groups) == 6
        assert pool.held == 0
        work.breaks = False
        lane.add(6)
        began(work, 7)
        finish(work, pool)
    assert "a gRPC call was lost" in caplog.text


CORES = 2


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    """Of a model that computes, known to be long, and held from now on."""
    monkeypatch.setattr(paces, "LONG_NS", 0)  # nothing is short
    monkeypatch.setattr(pooled_calls, "CORES", CORES)
    with running(tmp_path) as found, grpc.insecure_channel(found.address) as channel:
        found.model.computes, found.model.rows_alone = True, {"serving_default"}
        predict(channel)
        found.wait_for_held(0)  # what the call was like is learned after its answer has gone out
        found.model.gate.clear()
        yield found


def test_what_waits_for_a_core_is_answered_as_the_server_ends(server: Running) -> None:
    with grpc.insecure_channel(server.address) as channel:
        with at_once(16, lambda: predict(channel)) as answers:
            server.wait_for_held(16)
            server.model.wait_for(CORES)
            with at_once(1, server.host.stop):
                server.wait_until_draining()
                server.model.gate.set()
        assert [answer.result()[0]["y"].shape for answer in answers] == [(1, 2)] * 16


def test_a_call_that_is_refused_does_not_take_its_kind_out_of_its_lane(server: Running) -> None:
    fast = server.host._rpc
    assert isinstance(fast, FastRpcServer)
    (pace,) = fast._paces._paces.values()
    lane = pace.lane
    assert lane is not None
    request = PredictRequest(TARGET, {"z": np.ones((1, 2), np.float32)})  # as long as the others, of another input
    with grpc.insecure_channel(server.address) as channel:
        with pytest.raises(grpc.RpcError) as refused:
            channel.unary_unary(rpc.PREDICT)(rpc.encode_predict_request(request), timeout=PATIENCE_S)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        server.wait_for_held(0)
    assert list(fast._paces._paces.values()) == [pace]
    assert pace.lane is lane


def test_of_a_model_that_computes_no_more_calls_run_than_there_are_cores(server: Running) -> None:
    cores, asked, model = CORES, 4 * CORES, server.model
    with grpc.insecure_channel(server.address) as channel:
        with at_once(asked, lambda: predict(channel)) as answers:
            server.wait_for_held(asked)
            model.wait_for(cores)
            model.gate.set()
            found = [answer.result(PATIENCE_S)[0]["y"] for answer in answers]
        server.wait_for_held(0)
    assert all(np.array_equal(rows, np.full((1, 2), 2, np.float32)) for rows in found)
    assert model.most_inside == cores
