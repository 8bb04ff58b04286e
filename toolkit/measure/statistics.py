"""Turns raw call times into percentiles, ratios and verdicts, each with what it takes to believe it. Pure.

Sources: MLPerf LoadGen (binomial reasoning on how many samples a percentile needs), pyperf (raw samples are kept,
outliers too), Hahn and Meeker, Statistical Intervals (order-statistic intervals), Efron and Tibshirani (bootstrap).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

CONFIDENCE = 0.99
REPLICATES = 2000
_SEED = 20261122  # the same samples give the same interval
# Two-sided 99 % quantiles of Student's t by degrees of freedom: of few blocks the normal's 2.576 would be too sure.
_STUDENT_99 = (63.66, 9.925, 5.841, 4.604, 4.032, 3.707, 3.499, 3.355, 3.250, 3.169, 3.106, 3.055, 3.012, 2.977, 2.947)
_NORMAL_99 = 2.576
_EXACT_LIMIT = 5000
# What two processes of one program differ by, for all their lives: where memory lies, how hashes fall (pyperf answers
# it with many processes). Where a path has one worker its rounds cannot show it: every ratio's interval allows for it.
PROCESS_SPREAD = 0.02

Numbers = Sequence[float] | npt.NDArray[Any]
Rounds = Sequence[Numbers] | npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and the bounds between which the truth lies with 99 % confidence; in the unit of its samples."""

    value: float
    low: float
    high: float

    def holds(self, truth: float) -> bool:
        """Whether a value is inside the bounds."""
        return self.low <= truth <= self.high

    @property
    def inverse(self) -> "Interval":
        """The interval of the reciprocal."""
        return Interval(1 / self.value, 1 / self.high, 1 / self.low)


def samples_needed(percentile: float) -> int:
    """The fewest samples whose largest lies above the percentile with 99 % confidence: 459 for p99, 4603 for p99.9."""
    return math.ceil(math.log(1 - CONFIDENCE) / math.log(percentile / 100) - 1e-9)


def percentile(samples: Numbers, wanted: float) -> Interval | None:
    """A percentile by order statistics; None where the samples are too few for it.

    The bounds are the order statistics between which the binomial distribution of "samples below the percentile" has
    99 % of its mass, whatever the distribution of the times.
    """
    ordered = np.sort(np.asarray(samples, dtype=np.float64))
    count = len(ordered)
    if count < samples_needed(wanted):
        return None
    share = wanted / 100
    low, high = _ranks(count, share)
    middle = min(count - 1, max(0, math.ceil(share * count) - 1))
    return Interval(float(ordered[middle]), float(ordered[min(low, middle)]), float(ordered[max(high, middle)]))


def _ranks(count: int, share: float) -> tuple[int, int]:
    tail = (1 - CONFIDENCE) / 2
    if count > _EXACT_LIMIT:
        spread = NormalDist().inv_cdf(1 - tail) * math.sqrt(count * share * (1 - share))
        low, high = math.floor(count * share - spread) - 1, math.ceil(count * share + spread)
        return max(0, low), min(count - 1, high)
    below = np.arange(count)
    steps = np.log((count - below) / (below + 1)) + math.log(share) - math.log1p(-share)
    mass = np.exp(np.concatenate([[0.0], np.cumsum(steps)]) + count * math.log1p(-share))
    total = np.cumsum(mass)
    low = int(np.searchsorted(total, tail)) - 1
    high = int(np.searchsorted(total, 1 - tail))
    return max(0, low), min(count - 1, high)


def ratio(baseline: Rounds, candidate: Rounds) -> Interval | None:
    """How many times the candidate is as fast as the baseline, by rounds that were measured side by side.

    Each round gives the ratio of its two medians, so that a drift of the machine from round to round cancels; of all
    rounds the trimmed mean counts, so that one in which something else ran moves it little. The rounds are the blocks
    of a bootstrap; its spread is widened to Student's t, since the blocks are few.
    None with fewer than two rounds in common.
    """
    logs = _logs(baseline, candidate)
    return None if len(logs) < 2 else _from_logs(float(_centre(logs)), _spread(logs))


def ratio_within(baseline: Rounds, candidate: Rounds) -> float:
    """The share that the ratio of two paths may be off by, as their rounds show it with 99 % confidence.

    Without the allowance for what two processes differ by, which more rounds cannot make less.
    Infinite with fewer than two rounds in common.
    """
    logs = _logs(baseline, candidate)
    return math.inf if len(logs) < 2 else _spread(logs)


def _logs(baseline: Rounds, candidate: Rounds) -> npt.NDArray[np.float64]:
    rounds = zip(baseline, candidate, strict=False)
    medians = [(np.median(one), np.median(other)) for one, other in rounds if len(one) and len(other)]
    return np.array([math.log(float(one) / float(other)) for one, other in medians])


def _spread(logs: npt.NDArray[np.float64]) -> float:
    return _student(len(logs) - 1) * _bootstrap_spread(logs)


def ratio_of_runs(baseline: Rounds, candidate: Rounds, of: Callable[[Any], Any] = np.median) -> Interval | None:
    """As `ratio`, of two runs that were not side by side: the rounds of each are resampled by themselves.

    Args:
        baseline: rounds of times.
        candidate: likewise.
        of: what stands for a round: its median, or another percentile.
    """
    logs = [np.array([math.log(float(of(part))) for part in run if len(part)]) for run in (baseline, candidate)]
    if min(map(len, logs)) < 2:
        return None
    spread = math.hypot(*map(_spread, logs))
    return _from_logs(float(_centre(logs[0]) - _centre(logs[1])), spread)


def _centre(blocks: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Mean over the last axis without its lowest and highest fifth (Wilcox, Robust Estimation); of few, all count."""
    count = blocks.shape[-1]
    cut = count // 5
    return np.asarray(np.sort(blocks, axis=-1)[..., cut : count - cut].mean(axis=-1))


def _bootstrap_spread(blocks: npt.NDArray[np.float64]) -> float:
    """Standard error of the centre of the blocks; n/(n-1) undoes the bootstrap's known bias for few blocks."""
    chosen = np.random.default_rng(_SEED).integers(0, len(blocks), (REPLICATES, len(blocks)))
    return float(_centre(blocks[chosen]).std()) * math.sqrt(len(blocks) / (len(blocks) - 1))


def _student(freedom: int) -> float:
    return _STUDENT_99[freedom - 1] if freedom <= len(_STUDENT_99) else _NORMAL_99 * (1 + 2.1 / freedom)


def _from_logs(middle: float, spread: float) -> Interval:
    spread = math.hypot(spread, PROCESS_SPREAD)
    return Interval(math.exp(middle), math.exp(middle - spread), math.exp(middle + spread))


def verdict(found: Interval | None) -> str:
    """`faster` or `slower` only where the ratio's interval excludes 1."""
    if found is None:
        return "unknown"
    return "faster" if found.low > 1 else "slower" if found.high < 1 else "no difference"


def is_flat(samples: Numbers, windows: int, tolerance: float) -> bool:
    """Whether the medians of equal consecutive windows lie within a share of each other; False with too few samples."""
    size = len(samples) // windows
    if size < 1:
        return False
    array = np.asarray(samples[-size * windows :], dtype=np.float64)
    medians = np.median(array.reshape(windows, size), axis=1)
    return bool(medians.max() <= medians.min() * (1 + tolerance))


def rounds_flat(rounds: Rounds, windows: int, tolerance: float) -> bool:
    """Whether the medians of consecutive windows of whole rounds lie within a share of each other.

    Windows are cut between rounds where there are enough of them: a round of one path is a moment of the machine.
    """
    filled = [part for part in rounds if len(part)]
    if len(filled) < windows:
        return is_flat(np.concatenate([np.asarray(part) for part in filled]), windows, tolerance) if filled else False
    edges = [round(len(filled) * at / windows) for at in range(windows + 1)]
    medians = [float(np.median(np.concatenate(filled[start:end]))) for start, end in pairwise(edges)]
    return max(medians) <= min(medians) * (1 + tolerance)


def outliers(samples: Numbers) -> int:
    """How many samples lie above the third quartile by over three times the quartiles' distance; none is dropped."""
    array = np.asarray(samples, dtype=np.float64)
    first, third = np.percentile(array, [25, 75])
    return int((array > third + 3 * (third - first)).sum())


def break_even(once_s: float, baseline_s: float, candidate_s: float) -> int | None:
    """After how many calls a path that costs `once_s` up front has taken less time; None where it never has."""
    saved = baseline_s - candidate_s
    return max(1, math.ceil(once_s / saved)) if saved > 0 else None
