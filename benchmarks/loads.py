"""Servers to measure, each a process of its own, and one run of h2load against one of them."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.rounds import ROOT

_START_TIMEOUT_S = 120
_RUN_TIMEOUT_S = 300
# What grpcio's users write: a method on a thread pool. It gets bytes and gives bytes, so it is as fast as such can be.
_GRPC_ECHO = """
from concurrent import futures
import grpc
class Echo(grpc.GenericRpcHandler):
    def service(self, details):
        return grpc.unary_unary_rpc_method_handler(lambda body, context: body)
server = grpc.server(futures.ThreadPoolExecutor(8), handlers=(Echo(),))
print('{"port": %d}' % server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
server.wait_for_termination()
"""
# Reads each request's JSON and writes the values that the model answers; without a file of them, what it has read.
_HTTP_ECHO = """
import socket, sys
import orjson, uvicorn
values = orjson.loads(open(sys.argv[1], "rb").read()) if sys.argv[1:] else None
async def app(scope, receive, send):
    body, more = b"", True
    while more:
        part = await receive()
        body, more = body + part.get("body", b""), part.get("more_body", False)
    read = orjson.loads(body)
    answer = orjson.dumps(values or read)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})
bound = socket.socket()
bound.bind(("127.0.0.1", 0))
print('{"port": %d}' % bound.getsockname()[1], flush=True)
uvicorn.Server(uvicorn.Config(app, lifespan="off", access_log=False, log_level="error", loop="uvloop")).run([bound])
"""


@dataclass(frozen=True)
class Load:
    """Connections, and streams open on each."""

    connections: int
    streams: int

    def __str__(self) -> str:
        return f"{self.connections * self.streams:2} in flight"


@dataclass(frozen=True)
class Asking:
    """What h2load sends."""

    path: str
    body: Path
    options: Sequence[str]


@dataclass(frozen=True)
class Side:
    """A server that runs."""

    name: str
    port: int
    pid: int


@dataclass(frozen=True)
class Run:
    """One run: requests per second, and what each cost the server."""

    per_s: float
    cpu_us: float
    switches: float


def over_grpc(path: str, body: Path) -> Asking:
    """A call with a framed message."""
    return Asking(path, body, ("-H", "content-type: application/grpc", "-H", "te: trailers"))


def over_http(path: str, body: Path) -> Asking:
    """A POST over HTTP/1.1."""
    return Asking(path, body, ("--h1", "-H", "content-type: application/json"))


def measure(side: Side, asking: Asking, load: Load, count: int) -> Run:
    """So many requests to a server; every one of them must be answered."""
    tool = shutil.which("h2load")
    if tool is None:
        raise SystemExit("h2load is missing: apt-get install nghttp2-client")
    sizes = ("-c", str(load.connections), "-m", str(load.streams), "-n", str(count), "-d", str(asking.body))
    url = f"http://127.0.0.1:{side.port}{asking.path}"
    cpu_s, switches = _spent(side.pid)
    shown = subprocess.run(
        [tool, *sizes, *asking.options, url], capture_output=True, text=True, check=True, timeout=_RUN_TIMEOUT_S
    ).stdout
    cpu_after_s, switches_after = _spent(side.pid)
    rate, good = re.search(r"([\d.]+) req/s", shown), re.search(r"(\d+) 2xx", shown)
    if rate is None or good is None or int(good[1]) != count:
        raise SystemExit(f"{side.name} did not answer all requests:\n{shown}")
    return Run(float(rate[1]), (cpu_after_s - cpu_s) / count * 1e6, (switches_after - switches) / count)


def _spent(pid: int) -> tuple[float, int]:
    """CPU seconds and context switches of a process so far."""
    cpu_ns = switches = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        cpu_ns += int((task / "schedstat").read_text().split()[0])
        switches += sum(map(int, re.findall(r"ctxt_switches:\s+(\d+)", (task / "status").read_text())))
    return cpu_ns / 1e9, switches


def grpc_echo() -> Sequence[str]:
    """The arguments of a bare gRPC server."""
    return ("-c", _GRPC_ECHO)


def http_echo(answer: Path | None = None) -> Sequence[str]:
    """The arguments of a bare HTTP server that reads JSON and writes the JSON in a file, or else what it has read."""
    return ("-c", _HTTP_ECHO, *([str(answer)] if answer else []))


def serve(model: str, *options: str) -> Sequence[str]:
    """The arguments of `tfx-export serve`."""
    return ("-m", "toolkit.cli.main", "serve", f"exported/{model}", "--port", "0", *options)


@contextmanager
def started(name: str, arguments: Sequence[str], port: str = "port") -> Iterator[Side]:
    """A server, from the line with its port on; stopped by its process."""
    paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    environment = os.environ | {"PYTHONPATH": paths, "TF_CPP_MIN_LOG_LEVEL": "3"}
    process = subprocess.Popen(
        [sys.executable, *arguments], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise SystemExit(f"{name} does not start")
        yield Side(name, int(json.loads(line)[port]), process.pid)
    finally:
        process.terminate()
        process.wait(_START_TIMEOUT_S)
