"""Opens one version's directory as something that answers: a bundle's artifact, a SavedModel, or a model.tflite."""

import queue
import threading
from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

from toolkit.core.artifact import MANIFEST, Artifact, Manifest
from toolkit.core.plugins import FORMATS, RUNTIMES, SERVE, Opening, Runtime
from toolkit.core.runner import Runner
from toolkit.core.tensors import Feed, Outputs, Signature
from toolkit.errors import Fault, ServingError, ToolkitError, UnavailableError, WireError, nearest
from toolkit.serving.graph_files import SAVED_MODEL, graph_file, read_graph
from toolkit.serving.rows import rows_alone
from toolkit.verifying.bundle import check_files
from toolkit.wire import lifecycle_wording as wording
from toolkit.wire.settings import BatchingParameters
from toolkit.wire.signatures import ServedSignature, tagged_signatures, write_signature
from toolkit.wire.tflite_signatures import read_tflite

TFLITE_FILE = "model.tflite"
BATCHING_FILE = "batching_params.pbtxt"


class Able(NamedTuple):
    """One artifact that can answer feeds of some shape."""

    artifact: str
    run: Callable[[Feed], Outputs]
    computes: bool = False  # whether a call keeps a core busy from start to end
    concurrent: bool = False  # whether several calls share one runner


class Answered(NamedTuple):
    """What an artifact answered."""

    artifact: str
    outputs: Outputs


def first_answer(able: Sequence[Able], feed: Feed) -> Answered:
    """The answer of the first artifact that takes the feed.

    Raises:
        ToolkitError: none does; what the last one said that could be asked, which is the one the others are held
            against.
    """
    failure: ToolkitError | None = None
    for one in able:
        try:
            return Answered(one.artifact, one.run(feed))
        except UnavailableError as error:
            failure = failure or error
        except ToolkitError as error:
            failure = error
    assert failure is not None
    raise failure


class Servable(Protocol):
    """A loaded version of a model."""

    @property
    def artifact(self) -> str:
        """Which artifact answers, as metadata names it."""

    @property
    def signatures(self) -> Mapping[str, ServedSignature]:
        """What it can be asked."""

    @property
    def batching(self) -> BatchingParameters | None:
        """Batching parameters that the version brings along, if any."""

    @property
    def rows_alone(self) -> Container[str]:
        """Signatures proven to answer a row alike alone and among others, however many."""

    def able(self, signature: str, feed: Feed) -> Sequence[Able]:
        """What answers feeds of this shape: the best first, then what may where that one refuses them."""

    def run(self, signature: str, feed: Feed) -> Outputs:
        """All outputs of a signature."""

    def close(self) -> None:
        """Gives back what it holds; nobody runs it any more."""


@dataclass(frozen=True)
class Loading:
    """How versions are loaded.

    Args:
        runtime: the runtime that answers, by name.
        prefer_tflite: take model.tflite where a SavedModel's directory holds one too.
        threads: threads inside one call; None is the runtime's own choice.
        tags: those of the graph of a SavedModel that is loaded (--saved_model_tags).
        runners: how many runners a runtime gets that cannot be called concurrently.
    """

    runtime: str = "saved_model"
    prefer_tflite: bool = False
    threads: int | None = None
    tags: tuple[str, ...] = SERVE
    runners: int = 2


@dataclass
class _Pool:
    """Runners of one signature; a runtime that is not concurrent lends each to one caller at a time."""

    runners: list[Runner]
    concurrent: bool
    _waiting: int = 0
    _handed: "queue.SimpleQueue[Runner]" = field(default_factory=queue.SimpleQueue)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._idle = list(self.runners)

    def run(self, feed: Feed) -> Outputs:
        if self.concurrent:
            return self.runners[0].run(feed)
        with self._lock:
            # The one that ran last: its weights are still in the core's cache, half the time of a small model.
            runner = self._idle.pop() if self._idle else None
            self._waiting += runner is None
        if runner is None:
            runner = self._handed.get()
        try:
            return runner.run(feed)
        finally:
            with self._lock:
                if self._waiting:
                    self._waiting -= 1
                    self._handed.put(runner)
                else:
                    self._idle.append(runner)


@dataclass(eq=False)  # batching keeps a queue for each one
class OpenedServable:
    """A Servable over the runners of one runtime; a signature's runners are opened when it is first asked."""

    artifact: str
    signatures: Mapping[str, ServedSignature]
    runtime: Runtime
    paths: Mapping[str, Path]
    loading: Loading
    batching: BatchingParameters | None = None
    rows_alone: Container[str] = ()
    by_tensors: bool = False  # the signatures are not the file's own: they name its tensors
    _stack: ExitStack = field(default_factory=ExitStack)
    _pools: dict[str, _Pool] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def able(self, signature: str, feed: Feed) -> Sequence[Able]:
        """The one artifact."""
        pool = self._pools.get(signature) or self.open(signature)
        return (Able(self.artifact, pool.run, self.runtime.computes, self.runtime.concurrent),)

    def run(self, signature: str, feed: Feed) -> Outputs:
        """All outputs of a signature."""
        return self.able(signature, feed)[0].run(feed)

    def open(self, signature: str) -> _Pool:
        """The runners of a signature."""
        with self._lock:
            if signature not in self._pools:
                opening = Opening(
                    self.paths[signature],
                    signature,
                    Signature({}) if self.runtime.name == "saved_model" else self.signatures[signature].as_signature(),
                    self.loading.threads,
                    tensors=self.signatures[signature].tensors() if self.by_tensors else None,
                    tags=self.loading.tags,
                )
                count = 1 if self.runtime.concurrent else self.loading.runners
                runners = [self._stack.enter_context(self.runtime.open(opening)) for _ in range(count)]
                self._pools[signature] = _Pool(runners, self.runtime.concurrent)
            return self._pools[signature]

    def close(self) -> None:
        """Closes every runner."""
        self._stack.close()


def load_servable(directory: Path, loading: Loading, *, allow_lossy: bool = False) -> OpenedServable:
    """The servable in a version's directory, opened so that a load error shows now and not at the first request.

    Raises:
        ServingError: there is nothing to load, in TensorFlow Serving's words.
        ToolkitError: a bundle whose artifact did not pass, or a file that its runtime refuses.
    """
    saved = graph_file(directory)
    if (directory / MANIFEST).is_file():
        servable = _from_bundle(directory, loading, allow_lossy=allow_lossy)
    elif (directory / TFLITE_FILE).is_file() and (loading.prefer_tflite or saved is None):
        if loading.runtime not in ("saved_model", "tflite"):
            raise wording.nothing_proven(str(directory), "model.tflite", loading.runtime)
        servable = _from_tflite(directory / TFLITE_FILE, loading)
    elif saved is not None:
        if loading.runtime != "saved_model":
            raise wording.nothing_proven(str(directory), "SavedModel", loading.runtime)
        signatures = tagged_signatures(read_graph(saved), loading.tags)
        servable = _opened("saved_model", "saved_model", signatures, dict.fromkeys(signatures, directory), loading)
    else:
        raise wording.not_a_saved_model(str(directory))
    try:
        for signature in servable.signatures:
            # TensorFlow keeps its initialisation op among the signatures; it cannot be asked.
            if not signature.startswith("__"):
                servable.open(signature)
    except BaseException:
        servable.close()
        raise
    return servable


def artifacts_for(manifest: Manifest, runtime: str) -> list[Artifact]:
    """The proven artifacts of a bundle that a runtime opens, the plain one before its variants."""
    opens = RUNTIMES.load(runtime).opens
    made = [artifact for artifact in manifest.artifacts if artifact.parity.status == "pass"]
    return sorted((found for found in made if found.format in opens), key=lambda found: found.variant != "")


def bundle_servable(
    directory: Path, manifest: Manifest, artifact: Artifact, runtime: str, loading: Loading
) -> OpenedServable:
    """One artifact of a bundle in one runtime."""
    paths = {name: directory / relative for name, relative in artifact.paths.items()}
    known = _bundle_signatures(directory, manifest, loading.tags)
    servable = _opened(runtime, artifact.name, {name: known[name] for name in paths}, paths, loading)
    servable.rows_alone = rows_alone(manifest, artifact)
    return servable


def proven_manifest(directory: Path) -> Manifest:
    """The manifest of a bundle that is as it was built, every file of it, and whose artifacts agreed with the model.

    Raises:
        ParityError: a file was changed.
        ServingError: an artifact did not agree.
    """
    manifest = check_files(directory, besides=(BATCHING_FILE,))
    failed = [artifact.name for artifact in manifest.artifacts if artifact.parity.status == "fail"]
    if failed:
        raise ServingError(
            f"{directory} is refused: {', '.join(failed)} did not agree with the eager model",
            hint="build it again; serve only what was proven",
            fault=Fault.PRECONDITION,
        )
    return manifest


def _from_bundle(directory: Path, loading: Loading, *, allow_lossy: bool) -> OpenedServable:
    manifest = proven_manifest(directory)
    able = artifacts_for(manifest, loading.runtime)
    found = [artifact for artifact in able if allow_lossy or not artifact.variant]
    if not found:
        names = [artifact.name for artifact in manifest.artifacts if artifact.parity.status == "pass"]
        lossy = "; --allow-lossy lets a quantized one answer" if able else ""
        raise ServingError(
            f"{directory} has no artifact for --runtime {loading.runtime}",
            hint=f"it has {', '.join(names)}{lossy}; {nearest(loading.runtime, RUNTIMES.names())}",
            fault=Fault.PRECONDITION,
        )
    return bundle_servable(directory, manifest, found[0], loading.runtime, loading)


def _bundle_signatures(directory: Path, manifest: Manifest, tags: Sequence[str]) -> dict[str, ServedSignature]:
    # Every artifact of a bundle answers metadata alike: as its SavedModel does, where it has one.
    saved = next(
        (found for found in manifest.artifacts if found.files and FORMATS.load(found.name).opened_as == "saved_model"),
        None,
    )
    if saved is not None:
        return tagged_signatures(read_graph(directory / saved.path / SAVED_MODEL), tags)
    return {name: write_signature(name, signature) for name, signature in manifest.signatures.items()}


def _from_tflite(path: Path, loading: Loading) -> OpenedServable:
    try:
        signatures = read_tflite(path.read_bytes())
    except WireError as error:
        raise ServingError(f"{path} does not open: {error.message}", hint=error.hint, fault=Fault.INVALID) from error
    servable = _opened("tflite", "tflite", signatures, dict.fromkeys(signatures, path), loading)
    servable.by_tensors = True
    return servable


def _opened(
    runtime: str, artifact: str, signatures: Mapping[str, ServedSignature], paths: Mapping[str, Path], loading: Loading
) -> OpenedServable:
    return OpenedServable(artifact, signatures, RUNTIMES.load(runtime), paths, loading)
