"""Serves what a reference names: a model of the project, built if need be, a folder of bundles, or what flags say."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from toolkit.building.catalog import resolve, shipped
from toolkit.building.current import current_bundle
from toolkit.building.pipeline import Options
from toolkit.core.store import find_root
from toolkit.errors import UsageError
from toolkit.serving.host import Host, Ready
from toolkit.serving.places import models_at
from toolkit.serving.settings import Settings, settings_of
from toolkit.wire.messages import Endpoint, Protocol, State

Report = Callable[[str, str], None]
_REST_PORT = 8501


@dataclass(frozen=True)
class ServeRequest:
    """How to serve; the flags are those of `tfx-export serve`, by their names with underscores."""

    flags: Mapping[str, Any] = field(default_factory=dict)
    report: Report = lambda model, step: None
    root: Path | None = None


@dataclass(frozen=True)
class Serving:
    """A server that answers."""

    host: Host
    ready: Ready

    @property
    def grpc(self) -> Endpoint | None:
        """Where gRPC is answered."""
        return self._endpoint(Protocol.GRPC, self.ready.grpc_port)

    @property
    def rest(self) -> Endpoint | None:
        """Where REST is answered."""
        return self._endpoint(Protocol.REST, self.ready.rest_api_port)

    @property
    def models(self) -> Mapping[str, Mapping[int, State]]:
        """Name to version to state, as they are now."""
        return self.host.ready().models

    def _endpoint(self, protocol: Protocol, port: int | None) -> Endpoint | None:
        if port is None:
            return None
        listening = self.host.settings.rpc
        return Endpoint(f"{listening.host}:{port}", protocol, tls=listening.tls is not None)


@contextmanager
def serve(target: str | Path | None = None, request: ServeRequest | None = None) -> Iterator[Serving]:
    """A server in this process, for as long as the context lasts; then it finishes what is in flight.

    Args:
        target: a model of the project, a folder of bundles, a bundle, or a folder of SavedModel versions; None serves
            what the flags model_base_path or model_config_file name.
        request: flags, and who is told of a build.

    Raises:
        ToolkitError: nothing is served; says why.
    """
    request = request or ServeRequest()
    if target is None:
        with _running(settings_of(request.flags)) as serving:
            yield serving
        return
    given = {name for name in ("model_base_path", "model_config_file") if request.flags.get(name)}
    if given:
        raise UsageError(f"TARGET and --{given.pop()} both say what to serve", hint="leave one out")
    flags = {"rest_api_port": _REST_PORT} | dict(request.flags)
    with models_at(_place(str(target), request)) as models, _running(settings_of(flags, models)) as serving:
        yield serving


@contextmanager
def _running(settings: Settings) -> Iterator[Serving]:
    host = Host(settings)
    ready = host.start()
    try:
        yield Serving(host, ready)
    finally:
        host.stop()


def _place(target: str, request: ServeRequest) -> Path:
    """The folder that a target means; a model's newest bundle is built first where its source has changed."""
    root = request.root or find_root(Path.cwd())
    if target not in shipped(root) and Path(target).is_dir():
        return Path(target)
    entry = resolve(target, root)
    return current_bundle(entry, Options(root / "exported"), request.report)
