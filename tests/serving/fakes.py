"""Servables, loaders and models on disk without TensorFlow, whose every step a test decides."""

import threading
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from toolkit.core.tensors import Feed, Outputs
from toolkit.errors import Fault, ServingError
from toolkit.serving.library import Library
from toolkit.serving.loads import Lifecycle
from toolkit.serving.servables import Able
from toolkit.wire.messages import Keep, ModelConfig, Target, VersionPolicy
from toolkit.wire.settings import BatchingParameters
from toolkit.wire.signatures import ServedSignature

# Long enough for a machine that does ten other things; a test that waits so long has failed.
PATIENCE_S = 20.0
ALL = VersionPolicy(Keep.ALL)


def latest(count: int) -> VersionPolicy:
    return VersionPolicy(Keep.LATEST, count)


def specific(*versions: int) -> VersionPolicy:
    return VersionPolicy(Keep.SPECIFIC, versions=versions)


@dataclass(eq=False)
class FakeServable:
    """Answers with the directory it was loaded from, and notices when it is run after it was closed."""

    path: Path
    artifact: str = "fake"
    signatures: Mapping[str, ServedSignature] = field(default_factory=dict)
    batching: BatchingParameters | None = None
    rows_alone: Container[str] = ()
    closed: int = 0
    run_after_close: int = 0
    output: str = "path"

    def able(self, signature: str, feed: Feed) -> Sequence[Able]:
        return (Able(self.artifact, partial(self.run, signature)),)

    def run(self, signature: str, feed: Feed) -> Outputs:
        self.run_after_close += bool(self.closed)
        return {self.output: np.array(str(self.path))}

    def close(self) -> None:
        self.closed += 1


@dataclass
class FakeLoader:
    """Loads FakeServables; a version's load can be held back, and its directory can hold an error."""

    loaded: list[FakeServable] = field(default_factory=list)
    began: list[tuple[str, int]] = field(default_factory=list)
    held: dict[tuple[str, int], threading.Event] = field(default_factory=dict)
    fails: dict[tuple[str, int], int] = field(default_factory=dict)  # so many attempts
    signatures: Mapping[str, ServedSignature] = field(default_factory=dict)
    output: str = "path"
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def hold(self, name: str, version: int) -> threading.Event:
        """The version's load waits until the event is set."""
        return self.held.setdefault((name, version), threading.Event())

    def wait_for_begun(self, name: str, version: int, times: int = 1) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self.began.count((name, version)) >= times, PATIENCE_S)

    def __call__(self, name: str, version: int, directory: Path) -> FakeServable:
        with self._changed:
            self.began.append((name, version))
            self._changed.notify_all()
        if (name, version) in self.held:
            assert self.held[name, version].wait(PATIENCE_S)
        if self.fails.get((name, version), 0):
            self.fails[name, version] -= 1
            raise ServingError("not yet", fault=Fault.UNAVAILABLE)
        if (directory / "error").is_file():
            raise ServingError((directory / "error").read_text(), fault=Fault.NOT_FOUND)
        if (directory / "crash").is_file():
            raise RuntimeError("the runtime broke")
        servable = FakeServable(directory, signatures=self.signatures, output=self.output)
        self.loaded.append(servable)
        return servable


@dataclass
class Disk:
    """Base paths of models under one folder."""

    root: Path

    def base(self, model: str) -> Path:
        path = self.root / model
        path.mkdir(exist_ok=True)
        return path

    def publish(self, model: str, *versions: int | str) -> Path:
        """Versions that appear whole."""
        for version in versions:
            (self.base(model) / str(version)).mkdir()
        return self.base(model)

    def publish_broken(self, model: str, version: int, message: str = "nothing there") -> None:
        (self.publish(model, version) / str(version) / "error").write_text(message)

    def remove(self, model: str, *versions: int | str) -> None:
        for version in versions:
            directory = self.base(model) / str(version)
            for file in directory.iterdir():
                file.unlink()
            directory.rmdir()

    def config(
        self, model: str, policy: VersionPolicy | None = None, labels: Mapping[str, int] | None = None
    ) -> ModelConfig:
        return ModelConfig(model, str(self.root / model), policy=policy or VersionPolicy(), labels=labels or {})


# Looks at the disk when a test says so; whoever waits for a version waits as if somebody looked each hour.
BY_HAND = Lifecycle(poll_wait_s=3600.0, max_load_retries=0)


@contextmanager
def serving(load: FakeLoader, lifecycle: Lifecycle, *models: ModelConfig) -> Iterator[Library]:
    """A library that has tried every version it wants."""
    library = Library(load, lifecycle)
    library.start(models)
    library.wait_until_attempted([model.name for model in models], PATIENCE_S)
    try:
        yield library
    finally:
        for event in load.held.values():
            event.set()
        library.stop(PATIENCE_S)


def states(library: Library, model: str) -> dict[int, str]:
    """Version to state, in the order of the status."""
    status = library.states().get(model)
    return {} if status is None else {one.version: one.state.name for one in status.versions}


def wait_for(library: Library, model: str, wanted: Mapping[int, str]) -> None:
    """Waits until the states of a model are these, in this order."""
    watch(library, lambda: list(states(library, model).items()) == list(wanted.items()), f"{model} {wanted}")


def wait_until_done(library: Library, model: str) -> None:
    """Waits until every wanted version has come to an end of its loading."""

    def done() -> bool:
        known = library._models.get(model)
        wanted = [version for version in known.versions.values() if version.wanted] if known is not None else []
        return bool(wanted) and all(version.settled for version in wanted)

    watch(library, done, f"{model} has loaded what it can")


def watch(library: Library, done: Callable[[], bool], what: str) -> None:
    """Waits on the library's own condition, which every change of a state notifies."""
    with library._changed:
        assert library._changed.wait_for(done, PATIENCE_S), (what, library.states())


def answered(library: Library, model: str, **target: int | str) -> int:
    """The version that answers."""
    with library.lease(Target(model, **target)) as lease:  # type: ignore[arg-type]
        lease.servable.run("serving_default", {})
        return lease.version
