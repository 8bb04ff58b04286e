"""Measures a bundle's proven artifacts at load, and answers each batch size with the one that was fastest for it."""

import logging
import statistics
import threading
import time
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from toolkit.core.artifact import GOLDEN, Artifact, Manifest
from toolkit.core.golden import Case, read_golden
from toolkit.core.plugins import FORMATS, RUNTIMES
from toolkit.core.tensors import Feed, Outputs
from toolkit.errors import Fault, ServingError, ToolkitError, UnavailableError
from toolkit.serving.servables import (
    Able,
    Loading,
    OpenedServable,
    Servable,
    artifacts_for,
    bundle_servable,
    first_answer,
    proven_manifest,
)
from toolkit.verifying.parity import batch_size
from toolkit.wire.settings import BatchingParameters
from toolkit.wire.signatures import ServedSignature

log = logging.getLogger(__name__)
FASTEST = "fastest"
_ROUNDS = 7
_BUDGET_S = 0.25  # for one artifact and feed: a slow model is measured with fewer calls
# So much slower alone, one whose session several calls share is still ahead once they come together: it needs no turns,
# and takes their rows as one batch (docs/performance.md).
_LEAD_OF_ALONE = 1.1


@dataclass(frozen=True, slots=True)
class Choice:
    """What answers batches of at least so many rows, and its median time; None where nothing was measured."""

    rows: int
    artifact: str
    median_s: float | None = None

    def __str__(self) -> str:
        took = "" if self.median_s is None else f" ({self.median_s * 1e3:.3f} ms)"
        return f"from {self.rows} rows {self.artifact}{took}"


@dataclass(eq=False)
class Spare:
    """The artifact that answers what the chosen one refuses; not opened before that, which few models ever need.

    One that could not be opened stays so as long as the version does: to look again costs a hash of all files, and
    whoever sends what is refused could ask for that with every request.

    Args:
        directory: the bundle, whose files are held against its manifest once more before one is opened so late.
    """

    directory: Path
    servable: OpenedServable
    _proven: bool = False
    _failure: ToolkitError | None = None
    _opening: threading.Lock = field(default_factory=threading.Lock)

    def run(self, signature: str, feed: Feed) -> Outputs:
        """All outputs of a signature.

        Raises:
            UnavailableError: the bundle is not there any more, or was not what it had been when this was first asked.
            ToolkitError: this artifact refuses the feed too.
        """
        if not self._proven:
            with self._opening:  # of several who come at once, one looks
                self._open(signature)
        if self._failure is not None:
            raise UnavailableError(self._failure.message, hint=self._failure.hint) from self._failure
        return self.servable.run(signature, feed)

    def _open(self, signature: str) -> None:
        if self._proven or self._failure is not None:
            return
        log.warning("%s is opened for what %s did not take", self.servable.artifact, FASTEST)
        try:
            proven_manifest(self.directory)
            self.servable.open(signature)
            self._proven = True
        except ToolkitError as error:
            log.warning("%s is not opened until the version is loaded anew: %s", self.servable.artifact, error.message)
            self._failure = error.with_traceback(None)


@dataclass(eq=False)
class FastestServable:
    """Several artifacts of one bundle behind one set of signatures.

    Args:
        choices: for each signature, ascending by rows.
        spare: what answers where the chosen one does not; None where the two would keep two states.
    """

    signatures: Mapping[str, ServedSignature]
    candidates: Mapping[str, Servable]
    choices: Mapping[str, Sequence[Choice]]
    spare: Spare | None = None
    batching: BatchingParameters | None = None

    @property
    def artifact(self) -> str:
        """What `fastest` took, in words."""
        told = (f"{name} {', '.join(map(str, chosen))}" for name, chosen in self.choices.items())
        return f"{FASTEST}: {'; '.join(told)}"

    @property
    def rows_alone(self) -> Container[str]:
        """Signatures of which every artifact that may answer was proven so."""
        return frozenset(
            name
            for name, chosen in self.choices.items()
            if all(name in self.candidates[choice.artifact].rows_alone for choice in chosen)
        )

    def able(self, signature: str, feed: Feed) -> Sequence[Able]:
        """The artifact that was fastest for so many rows, and the spare one."""
        rows = max((array.shape[0] for array in feed.values() if array.ndim), default=1)
        choices = self.choices[signature]
        chosen = next((choice for choice in reversed(choices) if rows >= choice.rows), choices[0])
        able = self.candidates[chosen.artifact].able(signature, feed)
        spare = self.spare
        if spare is None or spare.servable.artifact == chosen.artifact or signature not in spare.servable.signatures:
            return able
        return (*able, Able(spare.servable.artifact, partial(spare.run, signature)))

    def run(self, signature: str, feed: Feed) -> Outputs:
        """All outputs of a signature."""
        return first_answer(self.able(signature, feed), feed).outputs

    def close(self) -> None:
        """Closes every candidate."""
        for candidate in self.candidates.values():
            candidate.close()
        if self.spare is not None:
            self.spare.servable.close()


def open_fastest(directory: Path, loading: Loading, *, allow_lossy: bool) -> FastestServable:
    """The servable that chooses among a bundle's artifacts, measured on its golden feeds; those that lose are closed.

    Raises:
        ServingError: the bundle is not proven, or has no artifact that any runtime serves.
        ParityError: a file of it was changed.
    """
    manifest = proven_manifest(directory)
    able = _candidates(manifest, allow_lossy=allow_lossy)
    if not able:
        raise ServingError(f"{directory} has no proven artifact", hint="build it again", fault=Fault.PRECONDITION)
    candidates: dict[str, OpenedServable] = {}
    try:
        for name, (artifact, runtime) in able.items():
            candidates[name] = bundle_servable(directory, manifest, artifact, runtime, loading)
        choices = choose(manifest, read_golden(directory / GOLDEN, manifest.signatures), candidates)
        signatures = {}
        for name, chosen in choices.items():
            signatures[name] = candidates[chosen[0].artifact].signatures[name]
            for choice in chosen:
                candidates[choice.artifact].open(name)
        spare = _spare(directory, manifest, able, loading)
    except BaseException:
        for candidate in candidates.values():
            candidate.close()
        raise
    used = {choice.artifact for chosen in choices.values() for choice in chosen}
    for name in set(candidates) - used:
        candidates.pop(name).close()
    return FastestServable(signatures, candidates, choices, spare)


def _spare(
    directory: Path, manifest: Manifest, able: Mapping[str, tuple[Artifact, str]], loading: Loading
) -> Spare | None:
    """The SavedModel, which takes what the model takes; else the first that there is."""
    if any(behaviour.stateful for behaviour in manifest.behaviour.values()):
        return None
    artifact, runtime = min(able.values(), key=lambda one: FORMATS.load(one[0].name).opened_as != "saved_model")
    return Spare(directory, bundle_servable(directory, manifest, artifact, runtime, loading))


def choose(
    manifest: Manifest,
    cases: Sequence[Case],
    candidates: Mapping[str, Servable],
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[Choice]]:
    """For each signature that a candidate has, what answers from how many rows on."""
    able = {
        signature: {name: found for name, found in candidates.items() if signature in found.signatures}
        for signature in manifest.signatures
    }
    able = {signature: found for signature, found in able.items() if found}
    if any(behaviour.stateful for behaviour in manifest.behaviour.values()):
        # Two artifacts would keep two states, and measuring would change it: one keeps it for all signatures.
        keeper = max(candidates, key=lambda name: sum(name in found for found in able.values()), default="")
        return {name: [Choice(0, keeper if keeper in found else next(iter(found)))] for name, found in able.items()}
    return {
        signature: _choices(_feeds(signature, manifest, cases), signature, found, clock)
        for signature, found in able.items()
    }


def _feeds(signature: str, manifest: Manifest, cases: Sequence[Case]) -> dict[int, Feed]:
    """A golden feed for each number of rows, ascending."""
    feeds: dict[int, Feed] = {}
    for case in cases:
        if case.signature == signature:
            feeds.setdefault(batch_size(manifest.signatures[signature], case.feed) or 0, case.feed)
    return dict(sorted(feeds.items()))


def _choices(
    feeds: Mapping[int, Feed], signature: str, able: Mapping[str, Servable], clock: Callable[[], float]
) -> list[Choice]:
    choices: list[Choice] = []
    for rows, feed in feeds.items():
        medians = _medians(signature, feed, able, clock)
        shared = {name: able[name].able(signature, feed)[0].concurrent for name in medians}
        best = min(medians, key=lambda name: medians[name] * (1 if shared[name] else _LEAD_OF_ALONE), default=None)
        if best is not None and (not choices or choices[-1].artifact != best):
            choices.append(Choice(rows, best, medians[best]))
    return choices or [Choice(0, next(iter(able)))]


def _medians(signature: str, feed: Feed, able: Mapping[str, Servable], clock: Callable[[], float]) -> dict[str, float]:
    """Median seconds of each candidate; rounds interleaved, so that a slow moment of the machine hits all alike."""
    samples: dict[str, list[float]] = {}
    for name, servable in able.items():
        try:
            servable.run(signature, feed)  # opens, allocates, optimises
            samples[name] = []
        except ToolkitError as error:
            log.warning("%s does not run %s: %s", name, signature, error.message)
    for _ in range(_ROUNDS):
        for name, found in samples.items():
            if 2 * sum(found) > _BUDGET_S:
                continue
            # Weights that another candidate has pushed out of the cache are there again when calls follow each other.
            able[name].run(signature, feed)
            started = clock()
            able[name].run(signature, feed)
            found.append(clock() - started)
    return {name: statistics.median(found) for name, found in samples.items()}


def _candidates(manifest: Manifest, *, allow_lossy: bool) -> dict[str, tuple[Artifact, str]]:
    found: dict[str, tuple[Artifact, str]] = {}
    for runtime in RUNTIMES.load_all():
        if runtime.name == "restored":
            continue  # the Python loader of the same file: never ahead of the graph-mode one
        for artifact in artifacts_for(manifest, runtime.name):
            if not artifact.variant or allow_lossy:
                found.setdefault(artifact.name, (artifact, runtime.name))
    return found
