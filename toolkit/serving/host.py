"""One serving process: loads the models, opens the transports, follows the config file, drains, ends."""

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from toolkit.errors import ToolkitError
from toolkit.serving.batching import BatchedRuns
from toolkit.serving.engine import DirectRuns, Engine
from toolkit.serving.http_server import RestServer
from toolkit.serving.library import Library
from toolkit.serving.metrics import Metrics
from toolkit.serving.punctual import PunctualRuns
from toolkit.serving.rest_calls import RestCalls
from toolkit.serving.rpc_calls import RpcCalls
from toolkit.serving.rpc_server import RpcServer
from toolkit.serving.settings import Settings, read_config_file
from toolkit.serving.transport import Transport
from toolkit.serving.transports import rpc_server
from toolkit.wire import lifecycle_wording
from toolkit.wire.messages import ModelConfig, State

log = logging.getLogger(__name__)
_UNLOAD_S, _INTERRUPTED_UNLOAD_S = 30.0, 1.0


@dataclass(frozen=True)
class Ready:
    """What a host says once it answers: its ports, and the state of every version."""

    grpc_port: int | None
    rest_api_port: int | None
    models: Mapping[str, Mapping[int, State]]

    def to_json(self) -> dict[str, Any]:
        """The ready line."""
        models = {
            name: {str(version): state.name for version, state in states.items()}
            for name, states in self.models.items()
        }
        return {"ready": True, "grpc_port": self.grpc_port, "rest_api_port": self.rest_api_port, "models": models}


@dataclass
class Host:
    """A context manager around a serving process; enters when the models were tried and the ports are open."""

    settings: Settings
    metrics: Metrics = field(init=False)
    library: Library = field(init=False)
    engine: Engine = field(init=False)

    def __post_init__(self) -> None:
        settings = self.settings
        self.library = Library(settings.loader, settings.lifecycle)
        self.metrics = Metrics(self.library.knows)
        self._batches: BatchedRuns | None = None
        if settings.scheme:
            self._batches = BatchedRuns(settings.scheme, per_model=settings.per_model_batching, watch=self.metrics)
        runs = PunctualRuns(self._batches or DirectRuns())
        together = None if self._batches else DirectRuns()
        self.engine = Engine(self.library, runs, settings.check_methods, together)
        self._transports: list[Transport] = []
        self._rpc: RpcServer | None = None
        self._rest: RestServer | None = None
        self._started = False
        self._ending = threading.Event()

    def start(self) -> Ready:
        """Loads the models and answers.

        Raises:
            ToolkitError: a port is taken, or with strict_start a model does not load.
        """
        try:
            self._open()
            self._load(self.settings.models)
            for transport in self._transports:
                transport.start()
        except BaseException as error:
            # Who interrupts a start does not wait for a load that may hang.
            self.stop(0.0, _UNLOAD_S if isinstance(error, Exception) else _INTERRUPTED_UNLOAD_S)
            raise
        self._started = True
        if self.settings.config_file is not None and self.settings.config_poll_s > 0:
            threading.Thread(target=self._follow, args=(self.settings.config_file,), daemon=True).start()
        return self.ready()

    def _open(self) -> None:
        # Ports first: that one is taken should be known before a minute of loading.
        settings = self.settings
        calls = RpcCalls(self.engine, self.metrics, settings.tensor_content)
        self._rpc = rpc_server(settings.transport)(calls, settings.rpc, settings.rpc_capacity)
        self._transports.append(self._rpc)
        if settings.rest is not None:
            rest_calls = RestCalls(self.engine, self.metrics)
            self._rest = RestServer(rest_calls, settings.rest, settings.rest_capacity, self.is_ready)
            self._transports.append(self._rest)

    def _load(self, models: Sequence[ModelConfig]) -> None:
        names = [model.name for model in models]
        self.library.start(models, strict=self.settings.strict_start)
        if self.settings.strict_start:
            failures = self.library.wait_until_settled(names)
            if failures:
                raise lifecycle_wording.not_available(failures, start=True)
        self.library.wait_until_attempted(names)

    def ready(self) -> Ready:
        """Ports and models as they are now."""
        rpc = self._rpc.port if self._rpc is not None and self.settings.rpc.port is not None else None
        rest = self._rest.port if self._rest is not None else None
        return Ready(rpc, rest, {name: status.states() for name, status in self.library.states().items()})

    def held(self) -> int:
        """Requests that run or wait."""
        return sum(transport.held for transport in self._transports)

    def is_ready(self) -> bool:
        """Whether requests may be sent here: it has started, does not drain, and a configured model answers.

        It has started when every configured model was tried. One that cannot load keeps no other from its requests,
        and one that a reload adds does not take a server away that answers for the others.
        """
        if not self._started or self._ending.is_set():
            return False
        configured, states = self.library.configs(), self.library.states()
        return not configured or any(
            model.name in states and State.AVAILABLE in states[model.name].states().values() for model in configured
        )

    def _follow(self, path: Path) -> None:
        told = ""
        while not self._ending.wait(self.settings.config_poll_s):
            try:
                models = read_config_file(path)
                if models != self.library.configs():
                    self.library.reconfigure(models)
                told = ""
            except ToolkitError as error:
                if error.message != told:
                    log.warning("%s changes nothing: %s", path, error.message)
                told = error.message

    def stop(self, grace_s: float | None = None, unload_s: float = _UNLOAD_S) -> None:
        """Takes nothing new, finishes what is in flight, unloads.

        Args:
            grace_s: seconds for what is in flight; None is --drain-timeout.
            unload_s: seconds after that, for versions that load or unload.
        """
        grace_s = self.settings.drain_timeout_s if grace_s is None else grace_s
        self._ending.set()
        self.library.wake()
        started = time.monotonic()
        if self._transports:
            with ThreadPoolExecutor(len(self._transports)) as pool:
                list(pool.map(lambda transport: transport.stop(grace_s), self._transports))
        self._transports.clear()
        if self._batches is not None:
            self._batches.stop()
        self.library.stop(unload_s)
        log.info("drained in %.2f s", time.monotonic() - started)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
