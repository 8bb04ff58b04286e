"""What happens in the middle of a load: a version of the served model is swapped, or a second model loads."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass

from toolkit.errors import ToolkitError, UsageError
from toolkit.measure.load.request import SECOND_MODEL, SWAP
from toolkit.measure.load.targets import Stage
from toolkit.runtimes.served import ask_reload, ask_status
from toolkit.wire.endpoints import Remote
from toolkit.wire.messages import Endpoint, Protocol, State, Target

# Counted time before anything happens, as a share; the rest is during and after.
_QUIET_SHARE = 0.3
_LOOK_S = 0.05
_STATUS_TIMEOUT_S = 5.0
_CONFIG = 'config {{ name: "{name}" base_path: "{path}" model_platform: "tensorflow" }} '
Events = list[tuple[float, str]]


@dataclass
class Disturbance:
    """Adds something to what our own server serves, and notes what its versions go through.

    Args:
        kind: swap or load.
        stage: the server's folder.
        seconds: of the counted part.
    """

    kind: str
    stage: Stage
    seconds: float
    _next: int = 2

    @classmethod
    def of(cls, kind: str, stage: Stage | None, seconds: float) -> "Disturbance":
        """The disturbance.

        Raises:
            UsageError: the server is not ours.
        """
        if stage is None:
            raise UsageError(f"--during {kind} needs a server of our own", hint="load a bundle, not a URL")
        return cls(kind, stage, seconds)

    def meanwhile(self, warm_s: float) -> AbstractContextManager[Events]:
        """Happens after a share of the counted time; gives the events, in seconds since counting began."""
        return self._running(warm_s)

    @contextmanager
    def _running(self, warm_s: float) -> Iterator[Events]:
        events: Events = []
        ended = threading.Event()
        work = {SWAP: self._swap, SECOND_MODEL: self._load}[self.kind]
        begun = time.monotonic() + warm_s
        thread = threading.Thread(
            target=self._happen, args=(begun, events, ended, work), name="load-disturbance", daemon=True
        )
        thread.start()
        try:
            yield events
        finally:
            ended.set()
            thread.join(_STATUS_TIMEOUT_S)

    def _happen(
        self, begun: float, events: Events, ended: threading.Event, work: Callable[[], tuple[str, int, int | None]]
    ) -> None:
        if ended.wait(max(0.0, begun + self.seconds * _QUIET_SHARE - time.monotonic())):
            return
        model, version, old = work()
        events.append((time.monotonic() - begun, f"version {version} of {model} appears"))
        seen: dict[int, State] = {}
        remote = Remote(Endpoint(self.stage.served.grpc, Protocol.GRPC), Target(model))
        while not ended.wait(_LOOK_S):
            with suppress(ToolkitError):  # a model that is not known yet
                for number, state in ask_status(remote.endpoint, remote.target, _STATUS_TIMEOUT_S).states().items():
                    if number in (version, old) and seen.get(number) is not state:
                        seen[number] = state
                        events.append((time.monotonic() - begun, f"version {number} of {model} {state.name}"))
            if seen.get(version) is State.AVAILABLE and (old is None or seen.get(old) is State.END):
                return

    def _swap(self) -> tuple[str, int, int | None]:
        model, bundle = next(iter(self.stage.bundles.items()))
        version, self._next = self._next, self._next + 1
        self.stage.add(model, version, bundle)
        return model, version, version - 1

    def _load(self) -> tuple[str, int, int | None]:
        model, bundle = next(iter(self.stage.bundles.items()))
        # Another model by its name, and the same by its weight.
        second, self._next = f"{model}_{self._next}", self._next + 1
        self.stage.add(second, 1, bundle)
        names = sorted(place.name for place in self.stage.folder.iterdir())
        configs = "".join(_CONFIG.format(name=name, path=self.stage.folder / name) for name in names)
        threading.Thread(target=self._reload, args=(f"model_config_list {{ {configs} }}",), daemon=True).start()
        return second, 1, None

    def _reload(self, text: str) -> None:
        # The request is answered when the model is loaded; meanwhile its states are looked at. What it may refuse
        # shows as a model that never becomes AVAILABLE.
        with suppress(ToolkitError):
            ask_reload(Endpoint(self.stage.served.grpc, Protocol.GRPC), text, self.seconds + _STATUS_TIMEOUT_S)
