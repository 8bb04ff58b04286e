"""Keeps the wanted versions of every model in memory: polls the disk, loads, swaps without a gap, unloads when idle."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from toolkit.errors import Fault, ServingError, ToolkitError
from toolkit.serving.disk import versions_on_disk, wanted_versions
from toolkit.serving.labels import Labels
from toolkit.serving.servables import Servable
from toolkit.serving.versions import ModelVersions, Version
from toolkit.wire import wording
from toolkit.wire.messages import ModelConfig, ModelStatus, State, Target

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


@dataclass(frozen=True, slots=True)
class Lease:
    """A loaded version that stays loaded while it is held."""

    target: Target
    version: int
    servable: Servable


class Library:
    """Models by name. Every public method may be called from any thread."""

    def __init__(self, load: Load, lifecycle: Lifecycle) -> None:
        self._load, self._lifecycle = load, lifecycle
        self._changed = threading.Condition()
        self._configs: dict[str, ModelConfig] = {}
        self._models: dict[str, ModelVersions] = {}
        self._labels = Labels(lifecycle.allow_labels_for_unavailable)
        self._slots = threading.Semaphore(max(1, lifecycle.load_threads))
        self._stopping = threading.Event()
        self._poller = threading.Thread(target=self._poll_forever, name="poll-versions", daemon=True)

    def start(self, models: Sequence[ModelConfig]) -> None:
        """Begins to load the models and to poll the disk."""
        with self._changed:
            self._configs = {model.name: model for model in models}
            for model in models:
                self._labels.preset(model)
        self._poll(models)
        if self._lifecycle.poll_wait_s > 0:
            self._poller.start()

    def stop(self) -> None:
        """Unloads everything that no request holds."""
        self._stopping.set()
        if self._poller.is_alive():
            self._poller.join()
        with self._changed:
            for model in self._models.values():
                model.want({})
                self._advance(model)

    @contextmanager
    def lease(self, target: Target) -> Iterator[Lease]:
        """The version that answers a target.

        Raises:
            ServingError: no such model, version or label; in TensorFlow Serving's words.
        """
        version, servable = self._acquire(target)
        try:
            yield Lease(target.answered_by(version.number), version.number, servable)
        finally:
            with self._changed:
                version.leases -= 1
                if not version.leases and version.state is State.UNLOADING:
                    self._close(target.model, version)

    def _acquire(self, target: Target) -> tuple[Version, Servable]:
        with self._changed:
            number = target.version
            if target.label is not None:
                number = self._labels.version(target.model, target.label)
                target = replace(target, version=number, label=None)
            model = self._models.get(target.model)
            version = model.available(number) if model is not None else None
            if version is None or version.servable is None:
                raise wording.servable_not_found(target)
            version.leases += 1
            return version, version.servable

    def status(self, target: Target) -> ModelStatus:
        """The states of a model's versions; a label is ignored, as the real server does.

        Raises:
            ServingError: nothing is known of the model, or of the version.
        """
        with self._changed:
            model = self._models.get(target.model)
            found = model.status() if model is not None else ModelStatus()
            if target.version is not None:
                found = ModelStatus(tuple(one for one in found.versions if one.version == target.version))
            if not found.versions:
                raise wording.status_not_found(replace(target, label=None))
            return found

    def states(self) -> Mapping[str, ModelStatus]:
        """The states of all models."""
        with self._changed:
            return {name: model.status() for name, model in self._models.items()}

    def reconfigure(self, models: Sequence[ModelConfig]) -> list[str]:
        """Takes another list of models; gives the names of the new ones. A refused list changes nothing.

        Raises:
            ServingError: a label names a version that is not AVAILABLE.
        """
        with self._changed:
            self._labels.check(models, self._models)
            before, self._configs = self._configs, {model.name: model for model in models}
            self._labels.assign(models)
            removed = [self._models[name] for name in before if name not in self._configs and name in self._models]
            for gone in removed:
                gone.want({})
                self._advance(gone)
        self._poll([model for model in models if _differs(before.get(model.name), model)])
        return [model.name for model in models if model.name not in before]

    def wait_until_settled(
        self, names: Sequence[str], timeout_s: float | None = None
    ) -> dict[tuple[str, int], ToolkitError]:
        """Waits until the wanted versions of these models answer or have failed for good; gives the failures.

        Raises:
            ServingError: the time was not enough, or the server stops.
        """
        self._wait(lambda: all(name in self._models and self._models[name].settled for name in names), timeout_s)
        with self._changed:
            return {key: error for name in names for key, error in self._models[name].failures().items()}

    def wait_until_attempted(self, names: Sequence[str], timeout_s: float | None = None) -> None:
        """Waits until every wanted version was tried once; a base path that is not there is not awaited."""
        self._wait(lambda: all(self._models[name].attempted for name in names if name in self._models), timeout_s)

    def _wait(self, done: Callable[[], bool], timeout_s: float | None) -> None:
        with self._changed:
            finished = self._changed.wait_for(lambda: done() or self._stopping.is_set(), timeout_s)
        if not finished or self._stopping.is_set():
            raise ServingError("the models did not load in time", hint="ask for their status", fault=Fault.DEADLINE)

    def _poll_forever(self) -> None:
        while not self._stopping.wait(self._lifecycle.poll_wait_s):
            with self._changed:
                configs = list(self._configs.values())
            self._poll(configs)

    def _poll(self, configs: Sequence[ModelConfig]) -> None:
        for config in configs:
            found = versions_on_disk(Path(config.base_path))
            with self._changed:
                if self._configs.get(config.name) is not config:
                    continue  # replaced while the disk was read
                if found is None:
                    log.warning("could not find base path %s for model %s", config.base_path, config.name)
                    continue
                numbers = wanted_versions(found, config.policy)
                model = self._models.setdefault(config.name, ModelVersions(config.name))
                model.want({number: found[number] for number in numbers})
                self._advance(model)

    def _advance(self, model: ModelVersions) -> None:
        """Does what comes next for a model; the lock is held."""
        for version in model.to_unload():
            version.state = State.UNLOADING
            if not version.leases:
                self._close(model.name, version)
        following = model.next_to_load()
        if following is not None and not self._stopping.is_set():
            following.state = State.LOADING
            threading.Thread(target=self._load_version, args=(model, following), daemon=True).start()
        self._changed.notify_all()

    def _load_version(self, model: ModelVersions, version: Version) -> None:
        servable = self._attempts(model, version)
        with self._changed:
            version.servable = servable
            version.state = State.AVAILABLE if servable is not None else State.END
            if servable is not None:
                version.error = None
            self._advance(model)

    def _attempts(self, model: ModelVersions, version: Version) -> Servable | None:
        for attempt in range(self._lifecycle.max_load_retries + 1):
            if attempt and self._stopping.wait(max(0.0, self._lifecycle.retry_interval_s)):
                return None
            try:
                with self._slots:
                    return self._load(model.name, version.number, version.path)
            except ToolkitError as error:
                failure = error
            except Exception as error:  # a load runs TensorFlow over whatever lies on the disk
                log.exception("loading %s version %d", model.name, version.number)
                failure = ServingError(f"{type(error).__name__}: {error}", fault=Fault.UNKNOWN)
            log.error("%s version %d does not load: %s", model.name, version.number, failure.message)
            with self._changed:
                version.error, version.attempts = failure, attempt + 1
                self._changed.notify_all()
                if not version.wanted:
                    return None
        return None

    def _close(self, name: str, version: Version) -> None:
        """Ends a version that nobody holds; the lock is held, so closing happens elsewhere."""
        servable, version.servable = version.servable, None

        def end() -> None:
            started = time.perf_counter()
            if servable is not None:
                servable.close()
            log.info("unloaded %s version %d in %.3f s", name, version.number, time.perf_counter() - started)
            with self._changed:
                version.state = State.END
                self._advance(self._models[name])

        threading.Thread(target=end, daemon=True).start()


def _differs(before: ModelConfig | None, after: ModelConfig) -> bool:
    return before is None or (before.base_path, before.policy) != (after.base_path, after.policy)
