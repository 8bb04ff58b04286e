"""Serves a bundle in a process of its own while its served paths are measured."""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from typing import IO, Any

from toolkit.errors import UnavailableError, UsageError
from toolkit.runtimes.served import tls_contents
from toolkit.wire.endpoints import Reach, parse_url

_START_LIMIT_S = 180.0
_END_LIMIT_S = 10.0
_LAST_PORT = 65535
_GIVEN = re.compile(
    r"(?:(?P<protocol>grpc|http)(?P<tls>s?)://)?"
    r"(?P<address>(?:\[[0-9A-Fa-f:.]+\]|[^/:\[\]\s]+):[0-9]{1,5})(?P<rest>[/:].*)?"
)
# What a REST base may end in without naming a model.
_BASES = (None, "/", "/v1", "/v1/", "/v1/models", "/v1/models/")
_GIVEN_HINT = "--server HOST:PORT for gRPC, grpc[s]://HOST:PORT or http[s]://HOST:PORT"


@dataclass(frozen=True)
class Served:
    """Where a model is answered; an empty address is not there."""

    grpc: str
    rest: str
    model: str
    pid: int = 0
    tls: bool = False
    reach: Reach = field(default_factory=Reach)

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


def given_server(address: str, model: str, reach: Reach | None = None) -> Served:
    """A server that runs already, named as HOST:PORT (gRPC) or as a URL of either protocol.

    Args:
        address: as `--server` takes it.
        model: what it is asked for.
        reach: TLS files and the message limit.

    Raises:
        UsageError: it is named otherwise, or together with a model.
    """
    match = _GIVEN.fullmatch(address)
    if match is None or int(match["address"].rpartition(":")[2]) > _LAST_PORT:
        raise UsageError(f"'{address}' is no server", hint=_GIVEN_HINT)
    if match["rest"] not in _BASES:
        raise UsageError(
            f"'{address}' names more than a server, which is asked for each model by its own name", hint=_GIVEN_HINT
        )
    grpc, rest = ("", match["address"]) if match["protocol"] == "http" else (match["address"], "")
    return Served(grpc, rest, model, tls=bool(match["tls"]), reach=reach or Reach())


def path_to(address: str) -> str:
    """Which served path asks a given server: `grpc` or `rest`."""
    return "grpc" if given_server(address, "").grpc else "rest"


def check_server(address: str, reach: Reach) -> None:
    """Nothing, where a given server can be asked for as far as one knows without asking it.

    Raises:
        UsageError: it is no server's address.
        UnavailableError: a TLS file cannot be read.
    """
    url = given_server(address, "any").url(path_to(address), "any")
    tls_contents(reach.apply(parse_url(url)).endpoint)


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
