"""The search finds the rate within five percent for three capacities, with and without moments that disturb it."""

import random
from dataclasses import dataclass, field

import pytest

from tests.measure.load.world import MS, point
from toolkit.errors import BenchError
from toolkit.measure.load.point import Point
from toolkit.measure.load.search import Rates, Slo, highest_rate, keeps_up, knee, search
from toolkit.measure.load.sweeping import GAIN


@pytest.mark.parametrize("capacity", [37.0, 480.0, 9000.0])
@pytest.mark.parametrize("first", [1.0, 100.0, 20_000.0])
def test_the_highest_rate_is_found_within_five_percent(capacity: float, first: float) -> None:
    asked: list[float] = []

    def holds(rate: float) -> bool:
        asked.append(rate)
        return rate <= capacity

    found = highest_rate(holds, Rates(first, 1.0, 50_000.0))
    assert found is not None
    assert capacity * 0.95 <= found <= capacity
    assert len(asked) < 25


@dataclass
class Server:
    """Answers in 1 ms up to its capacity, beyond it late by so much; now and then a moment of the machine is in it."""

    capacity: float
    disturbed: float = 0.0
    beyond_ms: int = 50
    late_ms: int = 0
    chance: random.Random = field(default_factory=lambda: random.Random(1))
    asked: list[float] = field(default_factory=list)

    def measure(self, rate: float) -> Point:
        self.asked.append(rate)
        slow = rate > self.capacity or self.chance.random() < self.disturbed
        latency_ms = self.beyond_ms if slow else 1
        return point([latency_ms * MS] * 2000, rate=rate, late_ns=self.late_ms * MS if slow else 0)


SLO = Slo.read("p99", 0.02)
ALL = Rates(10.0, 1.0, 50_000.0)


def test_a_moment_of_the_machine_does_not_end_a_search() -> None:
    found = search(SLO, Server(500.0, disturbed=0.05).measure, ALL)
    assert found.rate is not None
    assert 475 <= found.rate <= 500
    assert found.point is found.held[found.rate]
    assert found.said.startswith(f"{found.rate:.1f}/s holds p99 within 20 ms; ")
    assert found.said.endswith("/s does not: p99 50 ms")


def test_a_server_that_answers_far_less_than_it_is_asked_is_not_asked_again() -> None:
    server = Server(500.0, beyond_ms=60_000)  # of its 2000 requests none is answered within the load
    search(SLO, server.measure, ALL)
    assert len(server.asked) == len(set(server.asked))


def test_where_the_client_is_the_limit_nothing_holds_and_the_search_says_why() -> None:
    # The limit is wide enough for what is sent late; the figure would be about the client.
    found = search(Slo.read("p99", 1.0), Server(500.0, beyond_ms=2, late_ms=5).measure, ALL)
    assert found.rate is not None
    assert 475 <= found.rate <= 500
    assert "the client was the limit" in found.said


def test_a_setting_that_holds_no_more_is_asked_twice_at_most() -> None:
    server = Server(500.0)
    found = search(SLO, server.measure, Rates(500 * GAIN, 500 * GAIN, 50_000.0))
    assert found.rate is None
    assert len(server.asked) == 2
    assert found.point is found.broken[500 * GAIN]


@pytest.mark.parametrize("moments", [1, 2, 3])
def test_a_rate_that_broke_while_all_below_it_hold_is_asked_again(moments: int) -> None:
    asked: list[float] = []

    def holds(rate: float) -> bool:
        asked.append(rate)
        return rate <= 1000 and not (rate == 64.0 * moments and asked.count(rate) == 1)

    found = highest_rate(holds, Rates(64.0, 1.0, 50_000.0))
    assert found is not None
    assert 950 <= found <= 1000


def test_where_nothing_holds_nothing_is_found() -> None:
    assert highest_rate(lambda rate: False, Rates(64.0, 1.0, 50_000.0)) is None


def test_a_server_that_takes_everything_gives_the_most_that_was_tried() -> None:
    assert highest_rate(lambda rate: True, Rates(64.0, 1.0, 5_000.0)) == 5_000.0


@pytest.mark.parametrize(("latency_ms", "broken"), [(19, False), (21, True)])
def test_a_limit_looks_at_its_percentile(latency_ms: int, broken: bool) -> None:
    slo = Slo.read("p99", 0.02)
    slow = [1 * MS] * 1960 + [latency_ms * MS] * 40
    assert bool(slo.broken_by(point(slow))) is broken


def test_a_limit_is_not_held_by_too_few_samples() -> None:
    assert "few samples" in Slo.read("p99", 0.02).broken_by(point([1 * MS] * 100))


def test_a_point_lasts_long_enough_for_its_percentile() -> None:
    assert Slo.read("p99", 0.02).seconds_at(100) == pytest.approx(3 * 459 / 100)


@pytest.mark.parametrize(("name", "limit"), [("mean", 0.02), ("p0", 0.02), ("p100", 0.02), ("pX", 0.02), ("p99", 0.0)])
def test_what_is_no_limit_is_refused(name: str, limit: float) -> None:
    with pytest.raises(BenchError):
        Slo.read(name, limit)


@pytest.mark.parametrize(("latency_s", "keeps"), [(0.01, True), (0.3, False)])
def test_a_server_that_answers_less_than_it_is_asked_does_not_keep_up(latency_s: float, keeps: bool) -> None:
    # A second of requests, each of which is answered so much later: the last of them after the end.
    assert keeps_up(point([round(latency_s * 1e9)] * 1000)) is keeps


def test_the_knee_has_the_most_throughput_by_latency() -> None:
    # M/M/1: the power is greatest at half the capacity.
    capacity = 1000.0
    points = [
        point([round(1e9 / (capacity - rate))] * int(rate), rate=rate) for rate in (100.0, 300.0, 500.0, 700.0, 900.0)
    ]
    found = knee(points)
    assert found is not None
    assert found.shape.rate == 500.0
