"""What people ask for, in their words (options of the command line), as the plan that deploys it."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from toolkit.core.artifact import read_manifest
from toolkit.deploying.canary import ConfigRollout
from toolkit.deploying.commands import (
    DEFAULT_BINARY,
    DEFAULT_IMAGE,
    BinaryCommand,
    Command,
    DockerCommand,
    EmbeddedCommand,
)
from toolkit.deploying.config_file import ConfigFile
from toolkit.deploying.deployment import Deployment, Plan, Rollout, Tell, deploy, preflight
from toolkit.deploying.gate import Limits
from toolkit.deploying.layout import Layout
from toolkit.deploying.rollout import DirectoryRollout, Production
from toolkit.errors import UsageError
from toolkit.wire.endpoints import Reach, Remote
from toolkit.wire.messages import Endpoint, Protocol, Target


@dataclass(frozen=True)
class Server:
    """The server in production, as options name it.

    Args:
        grpc: HOST:PORT.
        rest: HOST:PORT.
        config: its models.config, where that is ours to edit.
        reload_by: request or file.
    """

    grpc: str | None = None
    rest: str | None = None
    config: Path | None = None
    reload_by: str = "request"
    reach: Reach = field(default_factory=Reach)

    def endpoint(self, protocol: Protocol) -> Endpoint | None:
        """Where it answers."""
        address = self.grpc if protocol is Protocol.GRPC else self.rest
        if address is None:
            return None
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal():
            raise UsageError(f"'{address}' is no HOST:PORT", hint="for instance localhost:8500")
        return self.reach.apply(Remote(Endpoint(address, protocol), Target(""))).endpoint

    def production(self, limits: Limits) -> Production | None:
        """To watch and ask; None where no --grpc was given."""
        grpc = self.endpoint(Protocol.GRPC)
        if grpc is None and self.rest is not None:
            raise UsageError("--rest alone cannot say which versions are loaded", hint="give --grpc too")
        return Production(grpc, self.endpoint(Protocol.REST), limits) if grpc else None

    def config_rollout(self, limits: Limits, *, hold: bool = False) -> ConfigRollout | None:
        """To move labels; None where no --config was given.

        Raises:
            UsageError: nobody could see what the server makes of it.
        """
        if self.config is None:
            if hold:
                raise UsageError(
                    "--hold stops at a canary, which takes a --config", hint="give the server's models.config"
                )
            return None
        production = self.production(limits)
        if production is None:
            raise UsageError("--config needs --grpc", hint="name the server that serves by this file")
        return ConfigRollout(ConfigFile(self.config.absolute()), production, self.reload_by == "request", hold)


@dataclass(frozen=True)
class DeployRequest:
    """What to deploy and how; the fields are the options of `tfx-export deploy`, times in seconds.

    Args:
        base: the serving root; base/name is TensorFlow Serving's base path.
        server: what the gate asks: embedded, binary, docker, or remote (the canary in production).
        production: the server to watch.
        max_memory: in MB.
        hold: with a config, stop at the canary.
    """

    bundle: Path
    base: Path
    name: str | None = None
    server: str = "embedded"
    server_binary: str = DEFAULT_BINARY
    image: str = DEFAULT_IMAGE
    production: Server = field(default_factory=Server)
    load_timeout: float = 120.0
    max_p99: float | None = None
    rate: float = 50.0
    max_memory: float | None = None
    max_change: float | None = None
    hold: bool = False
    dry_run: bool = False

    @property
    def limits(self) -> Limits:
        """What the version must hold."""
        if self.rate <= 0:
            raise UsageError(f"--rate {self.rate:g} asks nothing", hint="give requests a second, above 0")
        limits = Limits(
            self.load_timeout,
            self.max_p99,
            self.rate,
            max_memory_bytes=None if self.max_memory is None else int(self.max_memory * 1e6),
            max_change=self.max_change,
        )
        message_mb = self.production.reach.max_message_mb
        return limits if message_mb is None else replace(limits, max_message_bytes=int(message_mb * 1e6))

    @property
    def command(self) -> Command | None:
        """What starts the private server."""
        commands: dict[str, Callable[[], Command | None]] = {
            "embedded": EmbeddedCommand,
            "binary": lambda: BinaryCommand(self.server_binary),
            "docker": lambda: DockerCommand(self.image),
            "remote": self._none,
        }
        return commands[self.server]()

    def _none(self) -> None:
        if self.production.config is None:
            raise UsageError(
                "--server remote needs --config: without a canary a version would serve before it was asked",
                hint="give --config, --grpc and --rest, or let a private server be asked (--server embedded)",
            )


def deploy_request(request: DeployRequest, bundle: Path, tell: Tell = lambda text: None) -> Deployment | None:
    """Carries out a request for a bundle's directory; None for a dry run, which stops after the preflight.

    Raises:
        ToolkitError: as `toolkit.deploying.deployment.deploy`.
    """
    limits = request.limits
    rollout: Rollout | None = request.production.config_rollout(limits, hold=request.hold)
    if rollout is None:
        rollout = DirectoryRollout(request.production.production(limits))
    layout = Layout(request.base.absolute(), request.name or read_manifest(bundle).model)
    plan = Plan(bundle, layout, rollout, request.command, limits, tell)
    if not request.dry_run:
        return deploy(plan)
    preflight(plan)
    for step in plan.steps():
        tell(f"would {step}")
    return None
