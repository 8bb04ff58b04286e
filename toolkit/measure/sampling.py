"""Calls a function again and again and writes down how long each took; the clock is given, so tests need no time."""

import gc
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Any

from toolkit.measure.statistics import is_flat

Clock = Callable[[], int]
SECOND_NS = 1_000_000_000
WARM_UP_TOLERANCE = 0.05


@dataclass(frozen=True)
class Limits:
    """When to stop one stretch of calls.

    Args:
        least_calls: not before so many.
        least_ns: not before so long.
        most_ns: whatever else, not much later than this; one call that takes longer is let to its end.
    """

    least_calls: int
    least_ns: int
    most_ns: int


@dataclass(frozen=True)
class WarmUp:
    """The calls before those that count, and whether they ended as flat as was asked."""

    calls: int
    elapsed_ns: int
    flat: bool


def time_calls(
    call: Callable[[Any], object], feed: Any, limits: Limits, clock: Clock = perf_counter_ns
) -> "array[int]":
    """Nanoseconds of each call; what the loop adds to one is a single reading of the clock."""
    samples = array("q")
    append, least_calls = samples.append, limits.least_calls
    begun = clock()
    enough, end = begun + limits.least_ns, begun + limits.most_ns
    while True:
        before = clock()
        call(feed)
        after = clock()
        append(after - before)
        if after >= enough and (len(samples) >= least_calls or after >= end):
            return samples


def warm_up(call: Callable[[Any], object], feed: Any, limits: Limits, clock: Clock = perf_counter_ns) -> WarmUp:
    """Calls until two windows of equal length have medians within 5 % of each other, or the time is up."""
    begun = clock()
    samples = time_calls(call, feed, limits, clock)
    while not (flat := is_flat(samples[len(samples) // 3 :], 2, WARM_UP_TOLERANCE)):
        elapsed = clock() - begun
        if elapsed >= limits.most_ns:
            break
        # A third more each time: the first third of all calls is always left out of the comparison.
        stretch = min(max(elapsed // 3, 1), limits.most_ns - elapsed)
        samples += time_calls(call, feed, Limits(1, stretch, stretch), clock)
    return WarmUp(len(samples), clock() - begun, flat)


@contextmanager
def collector_off() -> Iterator[None]:
    """No garbage collection inside, for every path alike; what was left over before is collected first."""
    was_on = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
