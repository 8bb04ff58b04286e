"""Serves a bundle in a process of its own while its served paths are measured."""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from typing import IO, Any

from toolkit.errors import UnavailableError, UsageError

_START_LIMIT_S = 180.0
_END_LIMIT_S = 10.0


@dataclass(frozen=True)
class Served:
    """Where a model is answered; an empty address is not there."""

    grpc: str
    rest: str
    model: str
    pid: int = 0
    tls: bool = False

    def url(self, path: str, signature: str) -> str:
        """What a client of this path connects to."""
        scheme, address = {"grpc": ("grpc", self.grpc), "rest": ("http", self.rest)}[path]
        return f"{scheme}{'s' if self.tls else ''}://{address}/{self.model}:{signature}" if address else ""


@contextmanager
def serve_bundle(bundle: Path, model: str, threads: int, flags: Sequence[str] = ()) -> Iterator[Served]:
    """`tfx-export serve` over one bundle or a folder of them, on free ports.

    Args:
        bundle: the bundle, or the folder.
        model: what clients call it.
        threads: of one operation.
        flags: further ones of `tfx-export serve`.

    Raises:
        UnavailableError: it did not start; the message has its last line.
    """
    flags = ("--port=0", "--rest_api_port=0", f"--tensorflow_session_parallelism={threads}", *flags)
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
    """A server that runs already, named as HOST:PORT (gRPC) or as a URL of either protocol.

    Raises:
        UsageError: it is named otherwise.
    """
    match = re.fullmatch(r"(?:(grpc|http)(s?)://)?([^/\s]+:\d+)(?:/.*)?", address)
    if match is None:
        raise UsageError(
            f"'{address}' is no server", hint="--server HOST:PORT for gRPC, grpc[s]://HOST:PORT or http[s]://HOST:PORT"
        )
    grpc, rest = ("", match[3]) if match[1] == "http" else (match[3], "")
    return Served(grpc, rest, model, tls=bool(match[2]))


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
