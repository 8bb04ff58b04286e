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
# What one process may be off by, for all its life and with 99 % confidence: where memory lies, how hashes fall (pyperf
# answers it with many processes). Where a path has one its rounds cannot show it. Measured: docs/measuring.md.
PROCESS_SPREAD = 0.05
# So many processes show by themselves what they differ by.
_MANY_PROCESSES = 6

Numbers = Sequence[float] | npt.NDArray[Any]
Rounds = Sequence[Numbers] | npt.NDArray[Any]
Processes = Sequence[int]
_Logs = npt.NDArray[np.float64]


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


def ratio(baseline: Rounds, candidate: Rounds, processes: tuple[Processes, Processes] = ((), ())) -> Interval | None:
    """How many times the candidate is as fast as the baseline, by rounds that were measured side by side.

    Each round gives the ratio of its two medians, so that a drift of the machine from round to round cancels; of all
    rounds the trimmed mean counts, so that one in which something else ran moves it little. Blocks of a bootstrap give
    its spread, widened to Student's t, since they are few. Where both paths had many processes, all rounds of one are a
    block; otherwise each round is one, and for each process PROCESS_SPREAD is allowed, which its rounds cannot show.
    None with fewer than two rounds in common.

    Args:
        baseline: rounds of times.
        candidate: likewise.
        processes: which process took each round, of the baseline and of the candidate; empty where one took them all.
    """
    places, logs = _logs(baseline, candidate)
    if len(logs) < 2:
        return None
    taken = [_labels(found, places) for found in processes]
    # Processes of one path stand beside several of the other: there are as many independent blocks as it has.
    fewest = min(taken, key=lambda labels: len(np.unique(labels)))
    return _from_logs(float(_centre(logs)), math.hypot(_spread_over(logs, fewest), *map(_allowance, taken)))


def ratio_within(baseline: Rounds, candidate: Rounds) -> float:
    """The share that the ratio of two paths may be off by, as their rounds show it with 99 % confidence.

    Without what processes differ by, which more rounds cannot make less.
    Infinite with fewer than two rounds in common.
    """
    _, logs = _logs(baseline, candidate)
    return math.inf if len(logs) < 2 else _spread(logs)


def _logs(baseline: Rounds, candidate: Rounds) -> tuple[list[int], _Logs]:
    """The rounds that both have, and the logarithm of the ratio in each."""
    rounds = enumerate(zip(baseline, candidate, strict=False))
    medians = [(at, np.median(one), np.median(other)) for at, (one, other) in rounds if len(one) and len(other)]
    return [at for at, *_ in medians], np.array([math.log(float(one) / float(other)) for _, one, other in medians])


def _labels(processes: Processes, places: Sequence[int]) -> npt.NDArray[np.int64]:
    return np.array([processes[at] if processes else 0 for at in places], dtype=np.int64)


def _allowance(labels: npt.NDArray[np.int64]) -> float:
    """What the processes may be off by together; nothing where they are enough to show it."""
    count = len(np.unique(labels))
    return 0.0 if count >= _MANY_PROCESSES else PROCESS_SPREAD / math.sqrt(count)


def _spread_over(logs: _Logs, labels: npt.NDArray[np.int64]) -> float:
    """By rounds, or by processes where these are many."""
    if _allowance(labels):
        return _spread(logs)
    return _spread(np.array([float(_centre(logs[labels == one])) for one in np.unique(labels)]))


def _spread(logs: _Logs) -> float:
    return _student(len(logs) - 1) * _bootstrap_spread(logs)


def ratio_of_runs(
    baseline: Rounds,
    candidate: Rounds,
    of: Callable[[Any], Any] = np.median,
    processes: tuple[Processes, Processes] = ((), ()),
) -> Interval | None:
    """As `ratio`, of two runs that were not side by side: the rounds of each are resampled by themselves.

    Args:
        baseline: rounds of times.
        candidate: likewise.
        of: what stands for a round: its median, or another percentile.
        processes: which process took each round of either.
    """
    middles, spreads = [], []
    for run, taken in zip((baseline, candidate), processes, strict=True):
        places = [at for at, part in enumerate(run) if len(part)]
        if len(places) < 2:
            return None
        logs, labels = np.array([math.log(float(of(run[at]))) for at in places]), _labels(taken, places)
        middles.append(float(_centre(logs)))
        spreads += [_spread_over(logs, labels), _allowance(labels)]
    return _from_logs(middles[0] - middles[1], math.hypot(*spreads))


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
