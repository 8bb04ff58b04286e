"""Serves a bundle in a process of its own while its served paths are measured."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from typing import IO, Any

from toolkit.errors import UnavailableError

_START_LIMIT_S = 180.0
_END_LIMIT_S = 10.0


@dataclass(frozen=True)
class Served:
    """Where a model is answered; an empty address is not there."""

    grpc: str
    rest: str
    model: str
    pid: int = 0

    def url(self, path: str, signature: str) -> str:
        """What a client of this path connects to."""
        scheme, address = {"grpc": ("grpc", self.grpc), "rest": ("http", self.rest)}[path]
        return f"{scheme}://{address}/{self.model}:{signature}" if address else ""


@contextmanager
def serve_bundle(bundle: Path, model: str, threads: int) -> Iterator[Served]:
    """`tfx-export serve` over one bundle, on free ports.

    Raises:
        UnavailableError: it did not start; the message has its last line.
    """
    flags = ("--port=0", "--rest_api_port=0", f"--tensorflow_session_parallelism={threads}")
    python_path = os.pathsep.join(entry for entry in sys.path if entry)
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "toolkit.measure.tethered", str(os.getpid()), "serve", str(bundle), *flags],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            env=os.environ | {"PYTHONPATH": python_path},
        )
        try:
            ready = _ready(process, log)
            grpc, rest = ready.get("grpc_port"), ready.get("rest_api_port")
            yield Served(f"127.0.0.1:{grpc}" if grpc else "", f"127.0.0.1:{rest}" if rest else "", model, process.pid)
        finally:
            _end(process)


def given_server(address: str, model: str) -> Served:
    """A server that runs already, named as HOST:PORT (gRPC) or as a URL of either protocol."""
    scheme, mark, rest = address.partition("://")
    if not mark:
        return Served(address, "", model)
    place = rest.partition("/")[0]
    return Served(place, "", model) if scheme == "grpc" else Served("", place, model)


def _ready(process: "subprocess.Popen[bytes]", log: IO[bytes]) -> dict[str, Any]:
    assert process.stdout is not None
    with DefaultSelector() as selector:
        selector.register(process.stdout, EVENT_READ)
        line = process.stdout.readline() if selector.select(_START_LIMIT_S) else b""
    with suppress(ValueError):
        found: dict[str, Any] = json.loads(line)
        if found.get("ready"):
            return found
    log.seek(0)
    last = next(iter(reversed(log.read().decode(errors="replace").strip().splitlines())), "it said nothing")
    raise UnavailableError(f"the server did not start: {last:.300}", hint="try `tfx-export serve` by itself")


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(_END_LIMIT_S)
    process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()
