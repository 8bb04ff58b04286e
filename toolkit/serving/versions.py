"""The versions of one model: which are wanted, in which state each is, and what is to be done next."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from toolkit.errors import ToolkitError
from toolkit.serving.servables import Servable
from toolkit.wire.codes import CODE_OF_FAULT
from toolkit.wire.messages import ModelStatus, State, VersionStatus

_FACTS_KEPT = 1024
Fact = TypeVar("Fact")


@dataclass(eq=False)
class Version:
    """One version: its state, what answers for it while it is AVAILABLE, and how many requests hold it."""

    number: int
    path: Path
    wanted: bool = True
    state: State = State.START
    error: ToolkitError | None = None
    attempts: int = 0
    servable: Servable | None = None
    leases: int = 0
    resting: bool = False  # between two attempts to load it
    known: dict[Any, Any] = field(default_factory=dict)  # what the engine looked up of it, which goes with it

    def know(self, key: Any, fact: Fact) -> Fact:
        """Keeps what was looked up; clients choose the keys, so there are only so many."""
        if len(self.known) >= _FACTS_KEPT:
            self.known.clear()
        self.known[key] = fact
        return fact

    @property
    def failed(self) -> bool:
        """Whether it will not be tried again."""
        return self.state is State.END and self.error is not None

    @property
    def settled(self) -> bool:
        """Whether loading has come to an end: it answers, or it failed for good."""
        return self.state is State.AVAILABLE or self.failed

    def status(self) -> VersionStatus:
        """The state as the wire says it."""
        if self.error is None or self.state is not State.END:
            return VersionStatus(self.number, self.state)
        return VersionStatus(self.number, self.state, CODE_OF_FAULT[self.error.fault], self.error.message)


@dataclass
class ModelVersions:
    """All versions of a model that were ever wanted; the caller holds the lock of the whole library.

    What comes next follows TensorFlow Serving's availability-preserving policy: of the versions that are no longer
    wanted the last to go, the highest, goes only when a wanted one answers, or when none is wanted at all; of those to
    load, the highest goes first.
    """

    name: str
    versions: dict[int, Version] = field(default_factory=dict)
    listed: bool = False
    looked: int = 0  # the number of the look at the disk that this follows

    def want(self, paths: Mapping[int, Path]) -> None:
        """The versions that shall be loaded from now on.

        A failed one is not tried again while it stays wanted at the same path.
        """
        self.listed = True
        before = {number for number, version in self.versions.items() if version.wanted}
        for number, version in self.versions.items():
            version.wanted = number in paths
            if not version.wanted and version.state is State.START:
                version.state = State.END  # what was not begun ends without a word
        for number, path in paths.items():
            known = self.versions.get(number)
            if known is None or (
                known.state is State.END and not (known.failed and number in before and known.path == path)
            ):
                self.versions[number] = Version(number, path)
            elif known.state in {State.START, State.UNLOADING}:
                known.path = path

    def ended(self, version: Version) -> None:
        """A version is closed; one that became wanted again in the meantime starts anew."""
        version.state = State.END
        if version.wanted:
            self.versions[version.number] = Version(version.number, version.path)

    def next_to_load(self, together: int) -> Version | None:
        """The version to load now; so many at a time, but the pause after a failed attempt keeps no other waiting."""
        busy = sum(version.state is State.LOADING and not version.resting for version in self.versions.values())
        waiting = [version for version in self.versions.values() if version.wanted and version.state is State.START]
        return max(waiting, key=lambda version: version.number, default=None) if busy < together else None

    def to_unload(self) -> list[Version]:
        """The versions that may go."""
        wanted = [version for version in self.versions.values() if version.wanted]
        going = [found for found in self.versions.values() if not found.wanted and found.state is State.AVAILABLE]
        if wanted and not any(version.state is State.AVAILABLE for version in wanted):
            return sorted(going, key=lambda version: version.number)[:-1]
        return going

    def available(self, number: int | None) -> Version | None:
        """The version that answers: the one asked for, or the highest."""
        if number is not None:
            found = self.versions.get(number)
            return found if found is not None and found.state is State.AVAILABLE else None
        found = None
        for version in self.versions.values():  # every request asks: a list and max() take four times as long
            if version.state is State.AVAILABLE and (found is None or version.number > found.number):
                found = version
        return found

    @property
    def settled(self) -> Version | None:
        """The highest wanted version whose loading has come to an end: by it a model has loaded, or has not."""
        ended = [version for version in self.versions.values() if version.wanted and version.settled]
        return max(ended, key=lambda version: version.number, default=None)

    @property
    def wants_any(self) -> bool:
        """Whether there is a version to wait for."""
        return any(version.wanted for version in self.versions.values())

    @property
    def attempted(self) -> bool:
        """Whether every wanted version was at least tried."""
        return self.listed and all(
            version.settled or version.attempts > 0 for version in self.versions.values() if version.wanted
        )

    def idle(self) -> bool:
        """Whether nothing is loaded, and nothing is on its way in or out."""
        return all(version.state in {State.START, State.END} for version in self.versions.values())

    def status(self) -> ModelStatus:
        """Every known version, newest first."""
        newest_first = sorted(self.versions.values(), key=lambda version: -version.number)
        return ModelStatus(tuple(version.status() for version in newest_first))
