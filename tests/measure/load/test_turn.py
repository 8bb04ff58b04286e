"""Schedule, records and percentiles together, in a world whose times are known: theory, a stop, a slow client."""

import math
from pathlib import Path

import numpy as np
import pytest

from tests.measure.load.world import MS, US, S, World, point
from toolkit.measure.load import outcomes
from toolkit.measure.load.arrivals import Bounds, arrivals
from toolkit.measure.load.point import Point, Shape
from toolkit.measure.measurement import Status


def share(values: "np.ndarray[tuple[int], np.dtype[np.int64]]", percentile: float) -> float:
    return float(np.percentile(values, percentile)) / S


def test_a_queue_with_random_service_is_as_theory_says(tmp_path: Path) -> None:
    rate, busy = 100.0, 0.5
    times = np.random.default_rng(3).exponential(busy / rate * S, 100_000).astype(int).tolist()
    found = World(times.__getitem__).play(tmp_path, arrivals("poisson", rate, Bounds(900.0), 11))
    left = rate / busy - rate  # M/M/1: the time in the system is exponential with the rate that is left
    assert found.corrected_ns.mean() / S == pytest.approx(1 / left, rel=0.05)
    for percentile in (50, 90, 99):
        assert share(found.corrected_ns, percentile) == pytest.approx(-math.log(1 - percentile / 100) / left, rel=0.05)


def test_a_queue_with_constant_service_is_as_theory_says(tmp_path: Path) -> None:
    rate, busy = 100.0, 0.7
    service = busy / rate
    found = World(lambda number: round(service * S)).play(tmp_path, arrivals("poisson", rate, Bounds(900.0), 11))
    # M/D/1, Pollaczek and Khinchine; who arrives at an empty queue, a share of 1 - busy, waits for nothing.
    assert found.corrected_ns.mean() / S == pytest.approx(service * (1 + busy / (2 * (1 - busy))), rel=0.05)
    assert (found.corrected_ns <= service * S + US).mean() == pytest.approx(1 - busy, rel=0.05)


@pytest.mark.parametrize("kind", ["constant", "poisson"])
def test_known_service_times_come_out_within_two_percent(tmp_path: Path, kind: str) -> None:
    times = np.random.default_rng(5).integers(1 * MS, 3 * MS, 30_000).tolist()
    found = World(times.__getitem__).play(tmp_path, arrivals(kind, 20, Bounds(600.0), 1))
    alone = found.corrected_ns[found.corrected_ns <= 3 * MS + 10 * US]  # who met nobody in the queue
    assert share(alone, 50) == pytest.approx(2e-3, rel=0.02)
    assert share(alone, 99) == pytest.approx(2.98e-3, rel=0.02)


def test_a_stop_of_a_second_is_seen_by_the_corrected_latency_alone(tmp_path: Path) -> None:
    world = World(lambda number: 1 * MS, stops=(5 * S, 6 * S))
    found = world.play(tmp_path, arrivals("constant", 200, Bounds(10.0), 1))
    sent = found.counted["sent"]
    assert ((sent >= 5 * S) & (sent < 6 * S)).sum() == 200  # it went on sending
    assert found.late_share == 0
    assert share(found.corrected_ns, 99) == pytest.approx(0.95, abs=0.1)
    assert found.waiting_callers == 1
    assert share(found.uncorrected_ns, 99) == pytest.approx(1e-3, rel=0.05)
    assert 1700 < len(found.uncorrected_ns) < 1810  # who waits asked some 200 times less often


def test_a_client_that_needs_longer_than_its_rate_allows_is_invalid(tmp_path: Path) -> None:
    found = World(lambda number: 1 * MS, send_costs=6 * MS).play(tmp_path, arrivals("constant", 200, Bounds(5.0), 1))
    assert found.late_share > 0.9
    status, why = Point(Shape("mlp", "grpc", 1, "constant", 200.0), ("mlp",), found, (0.4,)).status
    assert status is Status.INVALID
    assert "sent late" in why
    # The wait is in the figure all the same.
    assert share(found.corrected_ns, 99) > 0.9


@pytest.mark.parametrize(
    ("late_ns", "cpu", "status"), [(0, 0.79, Status.VALID), (0, 0.8, Status.INVALID), (2 * MS, 0.1, Status.INVALID)]
)
def test_the_verdict_knows_when_the_client_was_the_limit(late_ns: int, cpu: float, status: Status) -> None:
    assert point([2 * MS] * 1000, late_ns=late_ns, cpu=cpu).status[0] is status


def test_being_late_by_less_than_a_tenth_of_the_latency_is_not_late() -> None:
    assert point([50 * MS] * 1000, late_ns=4 * MS).records.late_share == 0
    assert point([50 * MS] * 1000, late_ns=6 * MS).records.late_share == 1


def test_callers_wait_for_their_answers(tmp_path: Path) -> None:
    found = World(lambda number: 10 * MS).play(tmp_path, None, callers=4, seconds=2.0)
    assert found.rate_achieved == pytest.approx(100, rel=0.03)  # one server, whoever asks
    assert float(np.median(found.corrected_ns)) == pytest.approx(40 * MS, rel=0.05)  # three are before each


def test_callers_who_get_nothing_but_errors_give_up(tmp_path: Path) -> None:
    world = World(lambda number: 10 * US, outcome=lambda number: outcomes.of_code(14))
    found = world.play(tmp_path, None, callers=4, seconds=60.0)
    assert found.errors == {"UNAVAILABLE": len(found)}
    assert len(found) < 3000


def test_time_outs_count_with_the_time_they_took_and_other_errors_do_not(tmp_path: Path) -> None:
    ends = {3: outcomes.of_code(4), 5: outcomes.of_code(13)}
    world = World(lambda number: 1 * MS, outcome=lambda number: ends.get(number, outcomes.WELL))
    found = world.play(tmp_path, arrivals("constant", 10, Bounds(1.0), 1))
    assert len(found.corrected_ns) == 9
    assert found.count(outcomes.TIMEOUTS) == 1
    assert dict(found.errors) == {"DEADLINE_EXCEEDED": 1, "INTERNAL": 1}


def test_what_a_stopped_run_did_not_send_is_not_counted(tmp_path: Path) -> None:
    world = World(lambda number: 1 * MS)
    due = arrivals("constant", 100, Bounds(10.0), 1)

    def outcome(number: int) -> int:
        if number == 99:
            world.tape.stop()
        return outcomes.WELL

    world.outcome = outcome
    assert len(world.play(tmp_path, due)) == 100


def test_a_limit_of_requests_in_flight_makes_sends_late_and_says_so(tmp_path: Path) -> None:
    world = World(lambda number: 20 * MS)
    found = world.play(tmp_path, arrivals("constant", 100, Bounds(1.0), 1), most=2)
    assert found.late_share > 0.9
    assert share(found.from_send_ns, 99) < 0.05 < share(found.corrected_ns, 99)
