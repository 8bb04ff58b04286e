"""The search finds the rate within five percent for three capacities, with and without moments that disturb it."""

import random

import pytest

from tests.measure.load.world import MS, point
from toolkit.errors import BenchError
from toolkit.measure.load.search import Rates, Slo, highest_rate, keeps_up, knee, twice


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


def test_a_moment_of_the_machine_does_not_end_a_search() -> None:
    chance = random.Random(1)

    def broken(rate: float) -> str:
        return "too slow" if rate > 500 or chance.random() < 0.05 else ""

    found = highest_rate(twice(broken), Rates(10.0, 1.0, 50_000.0))
    assert found is not None
    assert 475 <= found <= 500


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
