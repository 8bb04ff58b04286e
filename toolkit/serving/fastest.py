"""Measures a bundle's proven artifacts at load, and answers each batch size with the one that was fastest for it."""

import logging
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from toolkit.core.artifact import GOLDEN, Artifact, Manifest, read_manifest
from toolkit.core.golden import Case, read_golden
from toolkit.core.plugins import RUNTIMES
from toolkit.core.tensors import Feed, Outputs
from toolkit.errors import Fault, ServingError, ToolkitError
from toolkit.serving.servables import Loading, OpenedServable, artifacts_for, bundle_servable
from toolkit.verifying.parity import batch_size
from toolkit.wire.settings import BatchingParameters
from toolkit.wire.signatures import ServedSignature

log = logging.getLogger(__name__)
FASTEST = "fastest"
_ROUNDS = 7
_BUDGET_S = 0.25  # for one artifact and feed: a slow model is measured with fewer calls


@dataclass(eq=False)
class FastestServable:
    """Several artifacts of one bundle behind one set of signatures.

    Args:
        choices: signature to (rows, artifact) ascending by rows: each answers batches of at least so many rows.
    """

    signatures: Mapping[str, ServedSignature]
    candidates: Mapping[str, OpenedServable]
    choices: Mapping[str, Sequence[tuple[int, str]]]
    batching: BatchingParameters | None = None

    @property
    def artifact(self) -> str:
        """What `fastest` stands for."""
        return FASTEST

    def artifact_for(self, signature: str, feed: Feed) -> str:
        """The artifact that answers this feed."""
        rows = max((array.shape[0] for array in feed.values() if array.ndim), default=1)
        choices = self.choices[signature]
        return next((name for least, name in reversed(choices) if rows >= least), choices[0][1])

    def run(self, signature: str, feed: Feed) -> Outputs:
        """All outputs of a signature."""
        return self.candidates[self.artifact_for(signature, feed)].run(signature, feed)

    def close(self) -> None:
        """Closes every candidate."""
        for candidate in self.candidates.values():
            candidate.close()


def open_fastest(directory: Path, loading: Loading, *, allow_lossy: bool) -> FastestServable:
    """The servable that chooses among a bundle's artifacts, measured on its golden feeds; those that lose are closed.

    Raises:
        ServingError: the bundle has no artifact that any runtime serves.
    """
    manifest = read_manifest(directory)
    candidates = {
        name: bundle_servable(directory, manifest, artifact, runtime, loading)
        for name, (artifact, runtime) in _candidates(manifest, allow_lossy=allow_lossy).items()
    }
    if not candidates:
        raise ServingError(f"{directory} has no proven artifact", hint="build it again", fault=Fault.PRECONDITION)
    cases = read_golden(directory / GOLDEN, manifest.signatures)
    choices = {name: _choose(name, manifest, cases, candidates) for name in manifest.signatures}
    used = {artifact for chosen in choices.values() for _, artifact in chosen}
    for name in set(candidates) - used:
        candidates.pop(name).close()
    largest = max(candidates.values(), key=lambda found: len(found.signatures))
    log.info("fastest: %s", choices)
    return FastestServable(largest.signatures, candidates, choices)


def _candidates(manifest: Manifest, *, allow_lossy: bool) -> dict[str, tuple[Artifact, str]]:
    found = {}
    for runtime in RUNTIMES.load_all():
        if runtime.name == "restored":
            continue  # the Python loader of the same file: never ahead of the graph-mode one
        for artifact in artifacts_for(manifest, runtime.name):
            if not artifact.variant or allow_lossy:
                found.setdefault(artifact.name, (artifact, runtime.name))
    return found


def _choose(
    signature: str, manifest: Manifest, cases: Sequence[Case], candidates: Mapping[str, OpenedServable]
) -> list[tuple[int, str]]:
    able = {name: found for name, found in candidates.items() if signature in found.paths}
    if manifest.behaviour[signature].stateful:
        # Two artifacts would keep two states: the first one keeps them all.
        return [(0, next(iter(able)))]
    choices: list[tuple[int, str]] = []
    for case in cases:
        if case.signature != signature:
            continue
        rows = batch_size(manifest.signatures[signature], case.feed) or 0
        medians = _medians(signature, case.feed, able)
        best = min(medians, key=lambda name: medians[name])
        if not choices or choices[-1][1] != best:
            choices.append((rows, best))
    return choices or [(0, next(iter(able)))]


def _medians(signature: str, feed: Feed, able: Mapping[str, OpenedServable]) -> dict[str, float]:
    """Median seconds of each candidate; rounds interleaved, so that a slow moment of the machine hits all alike."""
    samples: dict[str, list[float]] = {}
    for name, servable in able.items():
        try:
            servable.run(signature, feed)  # opens, allocates, optimises
            samples[name] = []
        except ToolkitError as error:
            log.warning("%s does not run %s: %s", name, signature, error.message)
    spent = dict.fromkeys(samples, 0.0)
    for _ in range(_ROUNDS):
        for name, found in samples.items():
            if found and spent[name] > _BUDGET_S:
                continue
            started = time.perf_counter()
            able[name].run(signature, feed)
            found.append(time.perf_counter() - started)
            spent[name] += found[-1]
    return {name: statistics.median(found) for name, found in samples.items()}
