"""How far a lossy artifact's answers are from the baseline's, in decibels, and how fast it gives them."""

import math
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from toolkit.core.artifact import GOLDEN, Artifact, Manifest
from toolkit.core.golden import Case, read_golden
from toolkit.core.plugins import Opening
from toolkit.core.tensors import Array, Feed, Outputs
from toolkit.verifying.bundle import runtimes_for
from toolkit.verifying.parity import batch_size

_ROUNDS, _ROUND_S, _WARM_UP = 5, 0.03, 5


def noise_of(bundle: Path, manifest: Manifest, name: str) -> dict[str, float]:
    """Output to SNR in dB over all golden cases: 10 log10(sum of squares / sum of squared differences)."""
    artifact = manifest.artifact(name)
    assert artifact is not None, "only an artifact of the manifest can be asked"
    signal: dict[str, float] = {}
    noise: dict[str, float] = {}
    cases = read_golden(bundle / GOLDEN, manifest.signatures)
    runtime = runtimes_for(artifact)[-1]
    for signature, relative in artifact.paths.items():
        with runtime.open(Opening(bundle / relative, signature, manifest.signatures[signature])) as runner:
            for case in _cases_for(artifact, manifest, [case for case in cases if case.signature == signature]):
                answers = runner.run(case.feed)
                for output, expected in case.outputs.items():
                    if np.issubdtype(expected.dtype, np.floating):
                        signal[output] = signal.get(output, 0.0) + _power(expected)
                        noise[output] = noise.get(output, 0.0) + _power(answers[output] - expected)
    return {output: decibels(signal[output], noise[output]) for output in signal}


def _cases_for(artifact: Artifact, manifest: Manifest, cases: Sequence[Case]) -> Sequence[Case]:
    """Those that its files take."""
    size = artifact.fixed_batch
    return [
        case
        for case in cases
        if size is None or batch_size(manifest.signatures[case.signature], case.feed) in {size, None}
    ]


def decibels(signal: float, noise: float) -> float:
    """The ratio of two powers; infinite where there is no noise."""
    if noise == 0.0:
        return math.inf
    return 10.0 * math.log10(signal / noise) if signal > 0.0 else -math.inf


def _power(values: Array) -> float:
    wide = np.asarray(values, np.float64)
    return float(np.square(wide[np.isfinite(wide)]).sum())


def times_as_fast(bundle: Path, manifest: Manifest, plain: str, lossy: str) -> float:
    """How many times as fast an artifact answers the smallest golden case as another one, measured in turns."""
    cases = read_golden(bundle / GOLDEN, manifest.signatures)
    with ExitStack() as stack:
        calls = []
        for name in (plain, lossy):
            artifact = manifest.artifact(name)
            assert artifact is not None, "only an artifact of the manifest can be asked"
            signature = next(iter(artifact.paths))
            opening = Opening(bundle / artifact.paths[signature], signature, manifest.signatures[signature], threads=1)
            runner = stack.enter_context(runtimes_for(artifact)[-1].open(opening))
            known = _cases_for(artifact, manifest, [case for case in cases if case.signature == signature])
            feed = min((case.feed for case in known), key=_size)
            calls.append((runner, feed))
        for runner, feed in calls:
            for _ in range(_WARM_UP):
                runner.run(feed)
        rounds = [[_median_s(runner.run, feed) for runner, feed in calls] for _ in range(_ROUNDS)]
    return statistics.median(first / second for first, second in rounds)


def _size(feed: Feed) -> int:
    return sum(array.nbytes for array in feed.values())


def _median_s(call: Callable[[Feed], Outputs], feed: Feed) -> float:
    taken, end = [], time.perf_counter() + _ROUND_S
    while (started := time.perf_counter()) < end:
        call(feed)
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)
