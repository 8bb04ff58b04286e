"""The command lines that start a server on a folder of versions: ours, a tensorflow_model_server, or one in Docker."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from toolkit.errors import DeployError, UnavailableError

DEFAULT_IMAGE = "tensorflow/serving:2.21.0"
DEFAULT_BINARY = "tensorflow_model_server"
_UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


@dataclass(frozen=True)
class Ports:
    """Where a private server listens on loopback."""

    grpc: int
    rest: int


class Command(Protocol):
    """How one kind of server is started and looked at."""

    def line(self, model: str, base_path: Path, ports: Ports) -> list[str]:
        """The command line that serves a folder of versions."""

    def version(self) -> str | None:
        """The TensorFlow version that it serves with; None where it cannot say."""

    def memory_bytes(self, pid: int, ports: Ports) -> int | None:
        """The largest resident memory so far; None where nobody can say."""

    def clear(self, ports: Ports) -> None:
        """Removes what outlives the process."""


@dataclass(frozen=True)
class _Process:
    """A server that is the very process we start."""

    def memory_bytes(self, pid: int, ports: Ports) -> int | None:
        """VmHWM of proc(5)."""
        try:
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        except OSError:
            return None
        return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), None)

    def clear(self, ports: Ports) -> None:
        """Nothing outlives it."""


@dataclass(frozen=True)
class EmbeddedCommand(_Process):
    """Our own server, in a process of its own."""

    def line(self, model: str, base_path: Path, ports: Ports) -> list[str]:
        """`tfx-export serve` with TensorFlow Serving's flags."""
        return [sys.executable, "-m", "toolkit.cli.main", "serve", *_flags(model, base_path, ports)]

    def version(self) -> str | None:
        """The installed TensorFlow's."""
        from importlib.metadata import version

        return version("tensorflow")


@dataclass(frozen=True)
class BinaryCommand(_Process):
    """A tensorflow_model_server.

    Raises:
        UnavailableError: there is none.
    """

    path: str = DEFAULT_BINARY

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


def _ask(line: Sequence[str]) -> str | None:
    """What a command wrote; None where it failed."""
    try:
        done = subprocess.run(line, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


@dataclass(frozen=True)
class DockerCommand:
    """TensorFlow Serving's image; the daemon is asked, since a client may be installed without one.

    Args:
        ask: runs a command line and gives what it wrote, None where it failed.

    Raises:
        UnavailableError: no daemon answers.
    """

    image: str = DEFAULT_IMAGE
    ask: Callable[[Sequence[str]], str | None] = _ask

    def __post_init__(self) -> None:
        if self.ask(["docker", "version", "--format", "{{.Server.Version}}"]) is None:
            raise UnavailableError(
                "no Docker daemon answers", hint="start it, or use --server embedded or --server binary"
            )

    def line(self, model: str, base_path: Path, ports: Ports) -> list[str]:
        """`docker run` on loopback ports, each version mounted read-only by its real path: links end at the mount."""
        mounts = [
            part
            for path in sorted(base_path.iterdir())
            for part in ("-v", f"{path.resolve()}:/models/{model}/{path.name}:ro")
        ]
        return [
            *("docker", "run", "--rm", "--name", _container(ports), "--read-only", "--tmpfs", "/tmp"),  # noqa: S108
            *("-p", f"127.0.0.1:{ports.grpc}:8500", "-p", f"127.0.0.1:{ports.rest}:8501"),
            *(*mounts, "-e", f"MODEL_NAME={model}", self.image, "--max_num_load_retries=0"),
        ]

    def version(self) -> str | None:
        """The image's tag, where it is a version."""
        found = re.search(r":([0-9]+\.[0-9]+[^-]*)", self.image)
        return found[1] if found else None

    def memory_bytes(self, pid: int, ports: Ports) -> int | None:
        """What `docker stats` says of the container; the process is only its client."""
        said = self.ask(["docker", "stats", "--no-stream", "--format", "{{.MemUsage}}", _container(ports)])
        found = re.match(r"([0-9.]+)(B|KiB|MiB|GiB|TiB) / ", said or "")
        return int(float(found[1]) * _UNITS[found[2]]) if found else None

    def clear(self, ports: Ports) -> None:
        """A client that was killed leaves its container running."""
        self.ask(["docker", "rm", "--force", _container(ports)])


def _container(ports: Ports) -> str:
    return f"tfx-export-gate-{ports.grpc}"


def _flags(model: str, base_path: Path, ports: Ports) -> list[str]:
    return [
        f"--port={ports.grpc}",
        f"--rest_api_port={ports.rest}",
        f"--model_name={model}",
        f"--model_base_path={base_path}",
        "--max_num_load_retries=0",
    ]


def check_age(command: Command, exporter: str) -> None:
    """Refuses a server older than the TensorFlow that exported the bundle.

    Raises:
        DeployError: names both.
    """
    server = command.version()
    if server is not None and minor_of(server) < minor_of(exporter):
        raise DeployError(
            f"the server has TensorFlow {server}, the bundle was exported with {exporter}",
            hint="update the server first: an older one may not know the graph's ops",
        )


def minor_of(version: str) -> tuple[int, int]:
    """Major and minor number of a version, (0, 0) where it has none."""
    numbers = re.findall(r"\d+", version)
    return (int(numbers[0]), int(numbers[1])) if len(numbers) > 1 else (0, 0)
