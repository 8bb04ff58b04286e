"""Keeps the wanted versions of every model in memory: polls the disk, and lends what answers to requests."""

import itertools
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from toolkit.errors import Fault, ServingError, ToolkitError
from toolkit.serving.callers import Caller
from toolkit.serving.disk import wanted_on_disk
from toolkit.serving.labels import Labels
from toolkit.serving.loads import Lifecycle, Load, Loads
from toolkit.serving.servables import Servable
from toolkit.serving.versions import ModelVersions, Version
from toolkit.wire import configs, lifecycle_wording, wording
from toolkit.wire.messages import ModelConfig, ModelStatus, State, Target


@dataclass(frozen=True, slots=True)
class Lease:
    """A loaded version that stays loaded while it is held."""

    target: Target
    version: int
    servable: Servable


class Library:
    """Models by name. Every public method may be called from any thread."""

    def __init__(self, load: Load, lifecycle: Lifecycle) -> None:
        self._lifecycle = lifecycle
        # Each request takes the lock twice; by itself it costs a third of what it does through its condition.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._configs: dict[str, ModelConfig] = {}
        self._models: dict[str, ModelVersions] = {}
        self._labels = Labels(lifecycle.allow_labels_for_unavailable)
        self._ending = False  # nobody may wait for a model any more
        self._stopping = threading.Event()
        self._loads = Loads(load, lifecycle, self._changed, self._stopping)
        self._looks = itertools.count(1)
        self._poller = threading.Thread(target=self._poll_forever, name="poll-versions", daemon=True)

    def start(self, models: Sequence[ModelConfig], *, strict: bool = False) -> None:
        """Begins to load the models and to poll the disk.

        Args:
            models: what to serve.
            strict: refuse labels of versions that are not loaded yet, as the real server does; else they work once
                their versions do.

        Raises:
            ServingError: in TensorFlow Serving's words; nothing was begun.
        """
        with self._changed:
            if strict:
                self._labels.check(models, {})
            self._configs = {model.name: model for model in models}
            for model in models:
                self._labels.preset(model)
        self._poll(models)
        if self._lifecycle.poll_wait_s > 0:
            self._poller.start()

    def stop(self, timeout_s: float = 30.0) -> None:
        """Unloads everything; returns when that is done or the time is over."""
        until = time.monotonic() + timeout_s
        self.wake()
        self._stopping.set()
        if self._poller.is_alive():
            self._poller.join(timeout_s)
        with self._changed:
            for model in self._models.values():
                model.want({})
                self._loads.advance(model)
            self._changed.notify_all()
            self._changed.wait_for(lambda: all(map(ModelVersions.idle, self._models.values())), _left(until))
        self._loads.join(_left(until))

    def wake(self) -> None:
        """The server begins to end: whoever waits for a model is told so, and requests are answered as before."""
        with self._changed:
            self._ending = True
            self._changed.notify_all()

    def lease(self, target: Target) -> "_Leasing":
        """A context manager that gives the version that answers a target.

        Raises:
            ServingError: no such model, version or label; in TensorFlow Serving's words. Raised as it is entered.
        """
        return _Leasing(self, target)

    def acquire(self, target: Target) -> tuple[Version, Servable]:
        """The version that answers a target, held until it is released."""
        if not target.model:
            raise wording.missing_name()
        with self._lock:
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

    def release(self, model: str, version: Version) -> None:
        """Gives a version back."""
        with self._lock:
            version.leases -= 1
            if not version.leases and version.state is State.UNLOADING:
                self._loads.close(self._models[model], version)

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

    def knows(self, name: str) -> bool:
        """Whether there is, or was, such a model; takes no lock, since whoever makes up names may ask at any rate."""
        return name in self._models

    def configs(self) -> tuple[ModelConfig, ...]:
        """The models that shall be served."""
        with self._changed:
            return tuple(self._configs.values())

    def states(self) -> Mapping[str, ModelStatus]:
        """The states of all models."""
        with self._changed:
            return {name: model.status() for name, model in self._models.items()}

    def reconfigure(self, models: Sequence[ModelConfig]) -> list[str]:
        """Takes another list of models; gives the names of the new ones. A refused list changes nothing.

        Raises:
            ServingError: the list is one that the real server refuses, or a label names a version that is not
                AVAILABLE.
        """
        with self._changed:
            configs.check_list(models, tuple(self._configs.values()))
            self._labels.check(models, self._models)
            configs.check_platforms(models)
            before, self._configs = self._configs, {model.name: model for model in models}
            self._labels.assign(models)
            removed = [self._models[name] for name in before if name not in self._configs and name in self._models]
            for gone in removed:
                gone.want({})
                self._loads.advance(gone)
            self._changed.notify_all()  # who waits for a model that never had a version waits no longer
        self._poll([model for model in models if _differs(before.get(model.name), model)])
        return [model.name for model in models if model.name not in before]

    def wait_until_settled(
        self, names: Sequence[str], timeout_s: float | None = None, caller: Caller | None = None
    ) -> dict[tuple[str, int], ToolkitError]:
        """Waits until a wanted version of each of these models answers or has failed for good; gives the failures.

        Of several such versions of a model the highest counts, as in the real server (ServableStateMonitor). A model
        that is taken out of the configuration meanwhile is not awaited any more.

        Raises:
            ServingError: the time was not enough, the caller has gone, the server stops, or there is no version and no
                further look for one.
        """
        self._wait(lambda: all(self._settled(name) for name in names), timeout_s, caller)
        with self._changed:
            failures = {}
            for name in [name for name in names if name in self._configs]:
                version = self._models[name].settled if name in self._models else None
                if version is None:
                    raise lifecycle_wording.no_versions(name, self._configs[name].base_path)
                if version.error is not None:
                    failures[name, version.number] = version.error
            return failures

    def _settled(self, name: str) -> bool:
        if name not in self._configs:
            return True
        model = self._models.get(name)
        if model is None or not model.wants_any:
            return self._lifecycle.poll_wait_s <= 0  # nothing will be found where nobody looks again
        return model.settled is not None

    def wait_until_attempted(self, names: Sequence[str], timeout_s: float | None = None) -> None:
        """Waits until every wanted version was tried once; a base path that is not there is not awaited."""
        self._wait(lambda: all(self._models[name].attempted for name in names if name in self._models), timeout_s)

    def _wait(self, done: Callable[[], bool], timeout_s: float | None, caller: Caller | None = None) -> None:
        caller = caller or Caller()
        caller.wake = self._notify
        with self._changed:
            finished = self._changed.wait_for(lambda: self._ending or caller.gone or done(), timeout_s)
        if caller.gone:
            raise ServingError("the caller did not wait for the models", fault=Fault.CANCELLED)
        if self._ending:
            raise ServingError("the server stops", hint="ask another one", fault=Fault.UNAVAILABLE)
        if not finished:
            raise ServingError("the models did not load in time", hint="ask for their status", fault=Fault.DEADLINE)

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def poll(self) -> None:
        """Looks at the disk once, for every model."""
        with self._changed:
            configs = list(self._configs.values())
        self._poll(configs)

    def _poll_forever(self) -> None:
        while not self._stopping.wait(self._lifecycle.poll_wait_s):
            self.poll()

    def _poll(self, configs: Sequence[ModelConfig]) -> None:
        for config in configs:
            look = next(self._looks)
            found = wanted_on_disk(config)
            with self._changed:
                current = self._configs.get(config.name)
                if found is None or current is None or _differs(config, current) or self._stopping.is_set():
                    continue  # nothing to see, or removed or replaced while the disk was read
                model = self._models.setdefault(config.name, ModelVersions(config.name))
                if look > model.looked:  # else someone looked later and was faster
                    model.looked = look
                    model.want(found)
                    self._loads.advance(model)


class _Leasing:
    """Holds a version while a block runs. Every request has one: a generator would cost three times as much."""

    __slots__ = ("_library", "_target", "_version")

    def __init__(self, library: Library, target: Target) -> None:
        self._library, self._target = library, target

    def __enter__(self) -> Lease:
        self._version, servable = self._library.acquire(self._target)
        return Lease(self._target.answered_by(self._version.number), self._version.number, servable)

    def __exit__(self, *_: object) -> None:
        self._library.release(self._target.model, self._version)


def _differs(before: ModelConfig | None, after: ModelConfig) -> bool:
    return before is None or (before.base_path, before.policy) != (after.base_path, after.policy)


def _left(until_s: float) -> float:
    return max(0.0, until_s - time.monotonic())
