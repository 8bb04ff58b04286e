"""The timing loop and the warm-up, by a clock that the test moves."""

import gc
from collections.abc import Sequence
from itertools import chain, repeat
from time import perf_counter_ns

import pytest

from toolkit.measure.sampling import SECOND_NS, Limits, collector_off, time_calls, warm_up

MS = 1_000_000


class Moment:
    """A clock that stands still unless a call takes its time."""

    def __init__(self, durations_ms: Sequence[int], then_ms: int) -> None:
        self.now = 0
        self._durations = chain(durations_ms, repeat(then_ms))

    def call(self, _: object) -> None:
        self.now += next(self._durations) * MS

    def clock(self) -> int:
        return self.now


def limits(calls: int, least_ms: int, most_ms: int) -> Limits:
    return Limits(calls, least_ms * MS, most_ms * MS)


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        (limits(1, 50, 1000), 5),  # the time decides
        (limits(8, 0, 1000), 8),  # the calls decide
        (limits(100, 0, 200), 20),  # the cap decides
        (limits(100, 300, 200), 30),  # the least time stands above the cap
    ],
)
def test_calls_stop_when_there_are_enough(wanted: Limits, count: int) -> None:
    moment = Moment([], 10)
    assert list(time_calls(moment.call, None, wanted, moment.clock)) == [10 * MS] * count


def test_a_call_longer_than_the_cap_is_let_to_its_end() -> None:
    moment = Moment([], 5000)
    assert list(time_calls(moment.call, None, limits(10, 0, 1000), moment.clock)) == [5000 * MS]


def test_every_sample_is_kept_in_order() -> None:
    moment = Moment([3, 900, 1], 2)
    assert [sample // MS for sample in time_calls(moment.call, None, limits(5, 0, 9000), moment.clock)] == [
        3,
        900,
        1,
        2,
        2,
    ]


@pytest.mark.parametrize(("slow_calls", "least"), [(0, 100), (12, 18), (40, 60)])
def test_warming_up_goes_on_until_the_times_are_flat(slow_calls: int, least: int) -> None:
    moment = Moment([10 * (slow_calls - at) for at in range(slow_calls)], 10)
    found = warm_up(moment.call, None, limits(10, 1000, 60_000), moment.clock)
    assert found.flat
    assert found.calls >= least
    assert found.elapsed_ns >= SECOND_NS


def test_warming_up_ends_at_its_cap_and_says_so() -> None:
    moment = Moment([int(10 * 1.2**at) for at in range(60)], 1)  # ever slower
    found = warm_up(moment.call, None, limits(10, 1000, 5000), moment.clock)
    assert not found.flat
    assert found.elapsed_ns <= 7 * SECOND_NS


def test_the_collector_is_off_inside_and_as_before_after() -> None:
    assert gc.isenabled()
    with collector_off():
        assert not gc.isenabled()
    assert gc.isenabled()


def nothing(_: object) -> None:
    """What is called where only the loop counts."""


def looped_ns(limits: Limits) -> float:
    """Nanoseconds of a call that does nothing, all that the loop does counted."""
    begun = perf_counter_ns()
    samples = time_calls(nothing, None, limits)
    return (perf_counter_ns() - begun) / len(samples)


def bare_ns(count: int) -> float:
    """The same of the least that a timing loop can do."""
    samples = []
    begun = perf_counter_ns()
    for _ in range(count):
        start = perf_counter_ns()
        nothing(None)
        samples.append(perf_counter_ns() - start)
    return (perf_counter_ns() - begun) / count


def test_the_loop_costs_little_more_than_a_bare_one() -> None:
    # The best of several, in turns: what the machine does besides is no cost of the loop.
    rounds = [(looped_ns(Limits(20_000, 0, SECOND_NS)), bare_ns(20_000)) for _ in range(7)]
    loop, bare = (min(times) for times in zip(*rounds, strict=True))
    assert loop <= 4 * bare


@pytest.mark.long
def test_the_loop_costs_less_than_a_microsecond_a_call() -> None:
    assert min(looped_ns(Limits(20_000, 0, SECOND_NS)) for _ in range(5)) <= 1000
