"""Statistics on samples whose answers are known."""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from toolkit.measure.statistics import (
    PROCESS_SPREAD,
    Interval,
    break_even,
    is_flat,
    outliers,
    percentile,
    ratio,
    ratio_of_runs,
    ratio_within,
    rounds_flat,
    samples_needed,
    verdict,
)


@pytest.mark.parametrize(("wanted", "count"), [(50, 7), (90, 44), (99, 459), (99.9, 4603)])
def test_a_percentile_needs_so_many_samples(wanted: float, count: int) -> None:
    assert samples_needed(wanted) == count
    assert percentile(range(count), wanted) is not None
    assert percentile(range(count - 1), wanted) is None


@pytest.mark.parametrize(("wanted", "value"), [(50, 500), (90, 900), (99, 990)])
def test_a_percentile_is_an_order_statistic(wanted: float, value: int) -> None:
    found = percentile(range(1, 1001), wanted)
    assert found is not None
    assert found.value == value
    assert found.low < value < found.high


def test_the_bounds_of_the_median_of_a_hundred_are_the_published_ones() -> None:
    # Hahn and Meeker: for n = 100 the two-sided 99 % interval of the median is from the 37th to the 64th or 65th value.
    found = percentile(range(1, 101), 50)
    assert found is not None
    assert (found.low, found.high) in {(37, 64), (37, 65)}


@pytest.mark.parametrize(("count", "wanted"), [(200, 50), (600, 99), (6000, 90)])
def test_a_percentiles_bounds_cover_the_truth(count: int, wanted: float) -> None:
    truth = -math.log(1 - wanted / 100)  # of the exponential distribution
    rng = np.random.default_rng(1)
    found = [percentile(rng.exponential(size=count), wanted) for _ in range(300)]
    assert sum(one is not None and one.holds(truth) for one in found) >= 290


@pytest.mark.parametrize(("exact", "normal"), [(4999, 5001)])
def test_the_exact_and_the_approximate_bounds_meet(exact: int, normal: int) -> None:
    one, other = percentile(range(exact), 90), percentile(range(normal), 90)
    assert one is not None
    assert other is not None
    assert abs(one.low - other.low) <= 4
    assert abs(one.high - other.high) <= 4


def test_a_ratio_survives_drift_that_hits_both_paths_alike() -> None:
    drift = [1.0, 1.5, 2.0, 0.8, 3.0]
    found = ratio([[20 * by] * 9 for by in drift], [[10 * by] * 9 for by in drift])
    assert found is not None
    off = math.exp(math.hypot(PROCESS_SPREAD, PROCESS_SPREAD))  # two processes, one each
    assert (found.value, found.low, found.high) == pytest.approx((2, 2 / off, 2 * off), rel=1e-3)
    assert verdict(found) == "faster"


def test_a_round_in_which_something_else_ran_moves_a_ratio_little() -> None:
    found = ratio([[20.0] * 9] * 9 + [[80.0] * 9], [[10.0] * 9] * 10)
    assert found is not None
    assert found.value == pytest.approx(2)
    assert found.high > 2.05  # and yet it is told


def lucky(rng: np.random.Generator, processes: Sequence[int], spread: float) -> list[list[float]]:
    """Rounds of 100 ns, whose process was given its speed for life."""
    luck = np.exp(rng.normal(0, spread, max(processes) + 1))
    return [list(100 * luck[process] * rng.gamma(50, 1 / 50, 80)) for process in processes]


@pytest.mark.parametrize("relays", [1, 3])
def test_processes_that_differ_for_life_are_in_the_interval(relays: int) -> None:
    rng = np.random.default_rng(relays)
    one, many = [0] * 40, [at % 4 + at // (40 // relays) * 4 for at in range(40)]
    processes = (one, one) if relays == 1 else (many, many)
    spread = 0.019 if relays == 1 else 0.05  # 0.019: what PROCESS_SPREAD allows for; many show it, however large it is
    covered = [0, 0]
    for _ in range(200):
        baseline, candidate = (lucky(rng, taken, spread) for taken in processes)
        for at, found in enumerate(
            (ratio(baseline, candidate, processes), ratio_of_runs(baseline, candidate, processes=processes))
        ):
            assert found is not None
            covered[at] += found.holds(1.0)
    assert min(covered) >= 194


def test_a_side_of_few_processes_is_allowed_for_what_they_may_be_off_by() -> None:
    steady = [[10.0] * 9] * 12
    many, few, one = list(range(12)), [at % 2 for at in range(12)], [0] * 12

    assert ratio(steady, steady, (many, many)) == Interval(1, 1, 1)
    for processes, off in (
        ((many, one), 1.0),
        ((few, one), 1.5),
        ((few, few), 1.0),
        ((one, one), 2.0),
        (((), ()), 2.0),
    ):
        found = ratio(steady, steady, processes)
        assert found is not None
        assert math.log(found.high) == pytest.approx(PROCESS_SPREAD * math.sqrt(off))


@pytest.mark.parametrize("rounds", [3, 5, 10, 30])
def test_the_interval_covers_a_known_ratio_under_drift_and_noise(rounds: int) -> None:
    rng = np.random.default_rng(rounds)
    covered = 0
    for _ in range(200):
        drift = np.exp(np.cumsum(rng.normal(0, 0.1, rounds)))
        own = rng.normal(1, 0.02, (2, rounds))
        baseline = [100 * drift[at] * own[0, at] * rng.gamma(50, 1 / 50, 80) for at in range(rounds)]
        candidate = [80 * drift[at] * own[1, at] * rng.gamma(50, 1 / 50, 80) for at in range(rounds)]
        found = ratio(baseline, candidate)
        assert found is not None
        covered += found.holds(1.25)
    assert covered >= 196


def test_the_same_path_against_itself_shows_no_difference() -> None:
    rng = np.random.default_rng(7)
    same = [ratio(rng.gamma(9, 1, (5, 60)), rng.gamma(9, 1, (5, 60))) for _ in range(200)]
    assert sum(verdict(found) == "no difference" for found in same) >= 198


def test_runs_that_were_not_side_by_side_carry_the_drift_in_their_interval() -> None:
    drifting = [[10 * by] * 9 for by in (1.0, 1.3, 0.8, 1.1, 0.9)]
    steady = [[10.0] * 9] * 5
    alone, paired = ratio_of_runs(drifting, steady), ratio(drifting, drifting)
    assert alone is not None
    assert paired is not None
    assert alone.high - alone.low > paired.high - paired.low
    assert verdict(alone) == "no difference"


@pytest.mark.parametrize(
    ("found", "word"),
    [
        (Interval(1.2, 1.1, 1.3), "faster"),
        (Interval(1.2, 0.99, 1.3), "no difference"),
        (Interval(0.8, 0.7, 0.9), "slower"),
        (Interval(0.9, 0.7, 1.0), "no difference"),
        (None, "unknown"),
    ],
)
def test_faster_is_said_only_when_the_interval_excludes_one(found: Interval | None, word: str) -> None:
    assert verdict(found) == word


def test_one_round_gives_no_ratio() -> None:
    assert ratio([[1.0]], [[1.0]]) is None
    assert ratio_of_runs([[1.0]], [[1.0], [1.0]]) is None
    assert ratio_within([[1.0]], [[1.0]]) == math.inf


def test_more_rounds_tell_a_ratio_more_nearly() -> None:
    rng = np.random.default_rng(3)
    baseline, candidate = np.ones((160, 5)), np.exp(rng.normal(0, 0.1, (160, 1)) * np.ones(5))

    few, many = ratio_within(baseline[:40], candidate[:40]), ratio_within(baseline, candidate)

    # Of normal blocks: 2.576 standard errors of a mean, which without a fifth on each side is about 1.15 times as wide.
    assert few == pytest.approx(2.576 * 0.1 / math.sqrt(40) * 1.1, rel=0.3)
    assert many == pytest.approx(few / 2, rel=0.3)
    assert ratio_within(baseline, 2 * baseline) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    ("samples", "windows", "tolerance", "flat"),
    [
        ([10] * 9, 3, 0.1, True),
        ([10, 10, 10, 10.5, 10.5, 10.5], 2, 0.05, True),
        ([10, 10, 10, 11, 11, 11], 2, 0.05, False),
        ([30, 20, 10, 10, 10, 10, 10, 10, 10], 3, 0.1, False),
        ([10], 2, 0.05, False),
    ],
)
def test_windows_are_flat_when_their_medians_agree(
    samples: list[float], windows: int, tolerance: float, flat: bool
) -> None:
    assert is_flat(samples, windows, tolerance) is flat


@pytest.mark.parametrize(
    ("rounds", "flat"),
    [
        ([[10] * 3] * 6, True),
        ([[10] * 3] * 4 + [[12] * 3] * 2, False),
        ([[10, 10], [10, 10]], True),
        ([[10, 10], [20, 20]], False),
        ([], False),
    ],
)
def test_rounds_are_flat_when_their_thirds_agree(rounds: list[list[float]], flat: bool) -> None:
    assert rounds_flat(rounds, 3, 0.1) is flat


def test_outliers_are_counted() -> None:
    assert outliers([*range(100), 1000, 2000]) == 2
    assert outliers([5] * 10) == 0


@pytest.mark.parametrize(
    ("once", "baseline", "candidate", "calls"),
    [(1.0, 0.010, 0.005, 200), (0.0, 0.010, 0.005, 1), (1.0, 0.005, 0.005, None), (1.0, 0.005, 0.010, None)],
)
def test_break_even(once: float, baseline: float, candidate: float, calls: int | None) -> None:
    assert break_even(once, baseline, candidate) == calls
