"""A private server for the gate: started on loopback with one command, waited for, looked at, stopped."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from toolkit.deploying.commands import Command, Ports
from toolkit.errors import DeployError, ServingError, UnavailableError, WireError
from toolkit.runtimes.served import ask_status
from toolkit.wire import messages
from toolkit.wire.messages import Endpoint, State, Target

_POLL_S = 0.05
# What it holds in flight is ours, and ours are done: there is nothing to drain.
_STOP_S = 3.0


class PrivateServer:
    """A server process on loopback, for as long as the context lasts."""

    def __init__(self, command: Command, model: str, base_path: Path) -> None:
        self._command = command
        self._model = model
        self._ports = free_ports()
        self._line = command.line(model, base_path, self._ports)
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as this object
        self._process: subprocess.Popen[bytes] | None = None

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
        while (left_s := deadline - time.monotonic()) > 0:
            if not self.alive:
                raise DeployError(f"the server ended before it served version {version}", hint=self.last_words())
            state = state_of(self.grpc, Target(self._model, version), left_s)
            if state is not None and state.state is State.AVAILABLE:
                return
            if state is not None and state.state is State.END:
                raise DeployError(f"version {version} does not load: {state.error_message}", hint=self.last_words())
            time.sleep(_POLL_S)
        raise DeployError(
            f"version {version} was not AVAILABLE after {timeout_s:g} s", hint=f"--load-timeout; {self.last_words()}"
        )

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def memory_bytes(self) -> int | None:
        """The largest resident memory so far; None where nobody can say."""
        return None if self._process is None else self._command.memory_bytes(self._process.pid, self._ports)

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
            self._log.close()
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
        self._command.clear(self._ports)
        self._log.close()


def state_of(endpoint: Endpoint, target: Target, timeout_s: float) -> messages.VersionStatus | None:
    """A version's state at a server; None while nobody answers or nothing is known of it."""
    try:
        status = ask_status(endpoint, target, timeout_s)
    except (UnavailableError, ServingError, WireError):
        return None
    return next((found for found in status.versions if found.version == target.version), None)


def free_ports() -> Ports:
    """Two ports that nobody listens on just now."""
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return Ports(one.getsockname()[1], other.getsockname()[1])
