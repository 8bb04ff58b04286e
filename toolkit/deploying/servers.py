"""The servers that a gate can ask, each in a process of its own: ours, a tensorflow_model_server, or one in Docker."""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from toolkit.errors import DeployError, ServingError, UnavailableError
from toolkit.runtimes.served import ask_status
from toolkit.wire import messages
from toolkit.wire.messages import Endpoint, State, Target

_POLL_S = 0.05
_STOP_S = 10.0


@dataclass(frozen=True)
class Ports:
    """Where a private server listens on loopback."""

    grpc: int
    rest: int


class Command(Protocol):
    """How one kind of server is started on a folder of versions."""

    def line(self, model: str, base_path: Path, ports: Ports) -> list[str]:
        """The command line."""

    def version(self) -> str | None:
        """The TensorFlow version that it serves with; None where it cannot say."""


@dataclass(frozen=True)
class EmbeddedCommand:
    """Our own server, in a process of its own."""

    def line(self, model: str, base_path: Path, ports: Ports) -> list[str]:
        """`tfx-export serve` with TensorFlow Serving's flags."""
        return [sys.executable, "-m", "toolkit.cli.main", "serve", *_flags(model, base_path, ports)]

    def version(self) -> str | None:
        """The installed TensorFlow's."""
        from importlib.metadata import version

        return version("tensorflow")


@dataclass(frozen=True)
class BinaryCommand:
    """A tensorflow_model_server.

    Raises:
        UnavailableError: there is none.
    """

    path: str = "tensorflow_model_server"

    def __post_init__(self) -> None:
        if shutil.which(self.path) is None:
            raise UnavailableError(
                f"there is no {self.path} here",
                hint="install it, name it with --server-binary, or use --server embedded",
            )

    def line(self, model: str, base_path: Path, ports: Ports) -> list[str]:
        """The binary with its flags."""
        return [self.path, *_flags(model, base_path, ports)]

    def version(self) -> str | None:
        """What `--version` says of the TensorFlow library."""
        try:
            said = subprocess.run([self.path, "--version"], capture_output=True, text=True, timeout=30, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return None
        found = re.search(r"TensorFlow Library: v?([0-9][^\s]*)", said.stdout + said.stderr)
        return found[1] if found else None


def _exit_code(line: Sequence[str]) -> int:
    try:
        return subprocess.run(line, capture_output=True, timeout=20, check=False).returncode
    except (OSError, subprocess.TimeoutExpired):
        return 1


@dataclass(frozen=True)
class DockerCommand:
    """TensorFlow Serving's image; the daemon is asked, since a client may be installed without one.

    Raises:
        UnavailableError: no daemon answers.
    """

    image: str = "tensorflow/serving:2.21.0"
    ask: Callable[[Sequence[str]], int] = _exit_code

    def __post_init__(self) -> None:
        if self.ask(["docker", "info"]) != 0:
            raise UnavailableError(
                "no Docker daemon answers", hint="start it, or use --server embedded or --server binary"
            )

    def line(self, model: str, base_path: Path, ports: Ports) -> list[str]:
        """`docker run` on loopback ports, with the versions mounted read-only."""
        return [
            *("docker", "run", "--rm", "--read-only", "--tmpfs", "/tmp"),  # noqa: S108  # inside the container
            *("-p", f"127.0.0.1:{ports.grpc}:8500", "-p", f"127.0.0.1:{ports.rest}:8501"),
            *("-v", f"{base_path}:/models/{model}:ro", "-e", f"MODEL_NAME={model}", self.image),
        ]

    def version(self) -> str | None:
        """The image's tag, where it is a version."""
        found = re.search(r":([0-9]+\.[0-9]+[^-]*)", self.image)
        return found[1] if found else None


def _flags(model: str, base_path: Path, ports: Ports) -> list[str]:
    return [
        f"--port={ports.grpc}",
        f"--rest_api_port={ports.rest}",
        f"--model_name={model}",
        f"--model_base_path={base_path}",
        "--max_num_load_retries=0",
    ]


class PrivateServer:
    """A server process on loopback, for as long as the context lasts."""

    def __init__(self, command: Command, model: str, base_path: Path) -> None:
        self._model = model
        self._ports = free_ports()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as this object
        self._process: subprocess.Popen[bytes] | None = None
        self._line = command.line(model, base_path, self._ports)

    @property
    def grpc(self) -> Endpoint:
        """Where gRPC is answered."""
        return Endpoint(f"127.0.0.1:{self._ports.grpc}", messages.Protocol.GRPC)

    @property
    def rest(self) -> Endpoint:
        """Where REST is answered."""
        return Endpoint(f"127.0.0.1:{self._ports.rest}", messages.Protocol.REST)

    def wait_until_available(self, version: int, timeout_s: float) -> None:
        """Waits for a version.

        Raises:
            DeployError: it failed to load, the server died, or the time is up; with the server's last words.
        """
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                raise DeployError(f"the server ended before it served version {version}", hint=self.last_words())
            state = state_of(self.grpc, Target(self._model, version))
            if state is not None and state.state is State.AVAILABLE:
                return
            if state is not None and state.state is State.END:
                raise DeployError(f"version {version} does not load: {state.error_message}", hint=self.last_words())
            time.sleep(_POLL_S)
        raise DeployError(
            f"version {version} was not AVAILABLE after {timeout_s:g} s", hint=f"--load-timeout; {self.last_words()}"
        )

    def memory_bytes(self) -> int | None:
        """The largest resident memory of the process so far (VmHWM of proc(5)); None where the system does not say."""
        if self._process is None:
            return None
        try:
            lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        except OSError:
            return None
        return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), None)

    def last_words(self) -> str:
        """The last line that the server wrote."""
        size = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, size - 2000))
        lines = [line for line in self._log.read().decode(errors="replace").splitlines() if line.strip()]
        return f"the server's last words: {lines[-1]:.300}" if lines else "the server said nothing"

    def __enter__(self) -> Self:
        environment: dict[str, Any] = os.environ | {"PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
        try:
            self._process = subprocess.Popen(
                self._line, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log, env=environment
            )
        except OSError as error:
            raise UnavailableError(f"{self._line[0]} does not start: {error}", hint="check --server-binary") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process = self._process
        if process is not None and process.poll() is None:
            process.terminate()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._log.close()


def state_of(endpoint: Endpoint, target: Target) -> messages.VersionStatus | None:
    """A version's state at a server; None while nobody answers or nothing is known of it."""
    try:
        status = ask_status(endpoint, target)
    except (UnavailableError, ServingError):
        return None
    return next((found for found in status.versions if found.version == target.version), None)


def free_ports() -> Ports:
    """Two ports that nobody listens on just now."""
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return Ports(one.getsockname()[1], other.getsockname()[1])


def check_age(command: Command, exporter: str) -> None:
    """Refuses a server older than the TensorFlow that exported the bundle.

    Raises:
        DeployError: names both.
    """
    server = command.version()
    if server is not None and _minor(server) < _minor(exporter):
        raise DeployError(
            f"the server has TensorFlow {server}, the bundle was exported with {exporter}",
            hint="update the server first: an older one may not know the graph's ops",
        )


def _minor(version: str) -> tuple[int, int]:
    numbers = re.findall(r"\d+", version)
    return (int(numbers[0]), int(numbers[1])) if len(numbers) > 1 else (0, 0)
