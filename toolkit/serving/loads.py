"""Loads the versions that are next and closes those that may go, each on a thread of its own."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from toolkit.errors import Fault, ParityError, ServingError, ToolkitError
from toolkit.serving.servables import Servable
from toolkit.serving.versions import ModelVersions, Version
from toolkit.wire.messages import State

log = logging.getLogger(__name__)
Load = Callable[[str, int, Path], Servable]


@dataclass(frozen=True)
class Lifecycle:
    """How versions come and go; the names are TensorFlow Serving's flags.

    Args:
        poll_wait_s: seconds between looks at the disk; 0 looks once.
        load_threads: loads at the same time.
        max_load_retries: further attempts after a failed load.
        retry_interval_s: seconds between them.
        allow_labels_for_unavailable: whether a new label may name a version that is not AVAILABLE.
    """

    poll_wait_s: float = 1.0
    load_threads: int = 1
    max_load_retries: int = 5
    retry_interval_s: float = 60.0
    allow_labels_for_unavailable: bool = False


class Loads:
    """What happens to versions aside from requests.

    Args:
        load: opens a version's directory.
        lifecycle: threads and retries.
        changed: the lock of the whole library, notified of every change.
        stopping: set when nothing more is to be loaded.
    """

    def __init__(
        self, load: Load, lifecycle: Lifecycle, changed: threading.Condition, stopping: threading.Event
    ) -> None:
        self._load, self._changed, self._stopping = load, changed, stopping
        self._attempts = max(0, lifecycle.max_load_retries) + 1
        self._pause_s = max(0.0, lifecycle.retry_interval_s)
        self._together = max(1, lifecycle.load_threads)
        self._slots = threading.Semaphore(self._together)
        self._threads: list[threading.Thread] = []

    def advance(self, model: ModelVersions) -> None:
        """Does what comes next for a model; the lock is held."""
        for version in model.to_unload():
            version.state = State.UNLOADING
            if not version.leases:
                self.close(model, version)
        while not self._stopping.is_set() and (following := model.next_to_load(self._together)) is not None:
            following.state = State.LOADING
            self._aside(partial(self._load_version, model, following))
        self._changed.notify_all()

    def close(self, model: ModelVersions, version: Version) -> None:
        """Ends a version that nobody holds; the lock is held, so closing happens elsewhere."""
        servable, version.servable = version.servable, None
        version.known.clear()
        self._aside(lambda: self._close(model, version, servable))

    def join(self, timeout_s: float) -> None:
        """Waits for the threads.

        One that leaves a runtime's native code while the interpreter ends aborts the process.
        """
        until = time.monotonic() + timeout_s
        with self._changed:
            threads = list(self._threads)
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _aside(self, work: Callable[[], None]) -> None:
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        self._threads.append(threading.Thread(target=work, daemon=True))
        self._threads[-1].start()

    def _load_version(self, model: ModelVersions, version: Version) -> None:
        servable = self._tried(model, version)
        with self._changed:
            version.servable = servable
            if servable is not None:
                version.state, version.error = State.AVAILABLE, None
            elif version.attempts < self._attempts:
                model.ended(version)  # it was not wanted any more, and may be again by now
            else:
                version.state = State.END
            self.advance(model)

    def _tried(self, model: ModelVersions, version: Version) -> Servable | None:
        while version.attempts < self._attempts and (not version.attempts or self._rested(model, version)):
            try:
                with self._slots:
                    return self._load(model.name, version.number, version.path) if self._goes_on(version) else None
            except ToolkitError as error:
                failure = error
            except Exception as error:  # a load runs TensorFlow over whatever lies on the disk
                log.exception("loading %s version %d", model.name, version.number)
                failure = ServingError(f"{type(error).__name__}: {error}", fault=Fault.UNKNOWN)
            log.error("%s version %d does not load: %s", model.name, version.number, failure.message)
            with self._changed:
                version.error = failure
                version.attempts = self._attempts if _refused(failure) else version.attempts + 1
                self._changed.notify_all()
        return None

    def _rested(self, model: ModelVersions, version: Version) -> bool:
        """Pauses before another attempt; whether there is to be one."""
        with self._changed:
            version.resting = True
            self.advance(model)
            self._changed.wait_for(lambda: not self._goes_on(version), self._pause_s)
            version.resting = False
            return self._goes_on(version)

    def _goes_on(self, version: Version) -> bool:
        return version.wanted and not self._stopping.is_set()

    def _close(self, model: ModelVersions, version: Version, servable: Servable | None) -> None:
        started = time.perf_counter()
        try:
            if servable is not None:
                servable.close()
            log.info("unloaded %s version %d in %.3f s", model.name, version.number, time.perf_counter() - started)
        except Exception:  # closing runs a runtime's own code; the version is gone either way
            log.exception("unloading %s version %d", model.name, version.number)
        with self._changed:
            model.ended(version)
            self.advance(model)


def _refused(failure: ToolkitError) -> bool:
    """Whether our own checks said no: the same files will not pass a minute later, as what a runtime met may."""
    refusals = (Fault.PERMISSION, Fault.PRECONDITION)
    return isinstance(failure, ParityError) or (isinstance(failure, ServingError) and failure.fault in refusals)
