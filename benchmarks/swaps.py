"""Swaps a served model's version again and again under load: what failed, and the longest that anybody waited.

python -m benchmarks.swaps [--model mlp] [--swaps 100] [--clients 2]

Server and clients share one process, so that the longest wait is at most this and not what a network adds. Half of the
clients ask over gRPC, half over REST on a connection that they keep. A version is taken out once the next one answers.
"""

import argparse
import ctypes
import gc
import http.client
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from benchmarks.rounds import ROOT, machine
from toolkit.core.artifact import GOLDEN, read_manifest
from toolkit.core.golden import read_golden
from toolkit.core.store import newest
from toolkit.serving.embedded import ServeRequest, Serving, serve
from toolkit.wire import rest_predict, rpc
from toolkit.wire.messages import PredictRequest, State, Target

_PATIENCE_S = 120.0
Ask = Callable[[], None]


@dataclass
class Client:
    """Asks without a pause until it is told to end; a wait is from one answer to the next."""

    over: threading.Event
    opened: Callable[[], AbstractContextManager[Ask]]
    answers: int = 0
    longest_s: float = 0.0
    failures: list[str] = field(default_factory=list)

    def run(self) -> None:
        """The life of its thread."""
        with self.opened() as ask:
            last_s = time.monotonic()
            while not self.over.is_set():
                try:
                    ask()
                except Exception as error:  # noqa: BLE001  # each of them is what is counted here
                    self.failures.append(f"{type(error).__name__}: {error}")
                now_s = time.monotonic()
                self.longest_s, last_s = max(self.longest_s, now_s - last_s), now_s
                self.answers += 1


@dataclass(frozen=True)
class Swapped:
    """What was seen over all swaps."""

    swaps: int
    answers: int
    failures: Sequence[str]
    longest_s: float
    memory: Sequence["Memory"]

    def __str__(self) -> str:
        memory = ", ".join(map(str, self.memory))
        return (
            f"{self.swaps} swaps: {len(self.failures)} of {self.answers} requests failed, "
            f"longest wait {self.longest_s * 1e3:.0f} ms, memory {memory}"
        )


@dataclass(frozen=True)
class Memory:
    """What this process holds.

    Args:
        resident_bytes: pages, those included that the allocator keeps for later, and garbage not yet collected.
        used_bytes: what is allocated after a collection.
    """

    resident_bytes: int
    used_bytes: int

    def __str__(self) -> str:
        return f"{self.resident_bytes / 1e6:.1f} MB ({self.used_bytes / 1e6:.1f} used)"


def swapped_under_load(source: Path, request: PredictRequest, swaps: int, clients: int = 2) -> Swapped:
    """Serves copies of a SavedModel's directory as one version after the other, and asks all the while."""
    over = threading.Event()
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder) / request.target.model
        _publish(source, base, 1)
        flags = {
            "model_name": base.name,
            "model_base_path": str(base),
            "port": 0,
            "rest_api_port": 0,
            "file_system_poll_wait_seconds": 3600,  # who swaps says when to look
        }
        with serve(None, ServeRequest(flags)) as serving:
            opened = (lambda: _over_grpc(serving, request), lambda: _over_rest(serving, request))
            asking = [Client(over, opened[at % 2]) for at in range(clients)]
            threads = [threading.Thread(target=one.run) for one in asking]
            for thread in threads:
                thread.start()
            try:
                looked = {swaps // 5, swaps // 2, swaps - 1}
                memory = []
                for at in range(swaps):
                    _swap(serving, source, base, at + 2)
                    if at in looked:
                        memory.append(_memory())
            finally:
                over.set()
                for thread in threads:
                    thread.join()
    failures = [failure for one in asking for failure in one.failures]
    return Swapped(swaps, sum(one.answers for one in asking), failures, max(one.longest_s for one in asking), memory)


def resident_bytes() -> int:
    """The memory that this process has in use."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class _Mallinfo(ctypes.Structure):
    """glibc's `struct mallinfo2`."""

    # Of its ten numbers, those that are looked at have names.
    _fields_ = (
        ("before", ctypes.c_size_t * 4),
        ("hblkhd", ctypes.c_size_t),
        ("between", ctypes.c_size_t * 2),
        ("uordblks", ctypes.c_size_t),
        ("after", ctypes.c_size_t * 2),
    )


def _memory() -> Memory:
    resident = resident_bytes()
    # TensorFlow's graphs hold themselves by cycles, and Python looks for those when a quarter of its objects is new: in
    # a process with TensorFlow after some 900 swaps. What waits for that is no leak.
    gc.collect()
    told = ctypes.CDLL(None).mallinfo2
    told.restype = _Mallinfo
    found = told()
    return Memory(resident, found.uordblks + found.hblkhd)


def _publish(source: Path, base: Path, version: int) -> None:
    beside = base / f".{version}"
    shutil.copytree(source, beside)
    beside.rename(base / str(version))


def _swap(serving: Serving, source: Path, base: Path, version: int) -> None:
    _publish(source, base, version)
    library, pause, until_s = serving.host.library, threading.Event(), time.monotonic() + _PATIENCE_S
    library.poll()
    wanted = {version: State.AVAILABLE, version - 1: State.END}
    while not wanted.items() <= library.states()[base.name].states().items():
        if time.monotonic() > until_s:
            raise SystemExit(f"version {version} does not answer: {library.states()[base.name]}")
        pause.wait(0.005)
    shutil.rmtree(base / str(version - 1))


@contextmanager
def _over_grpc(serving: Serving, request: PredictRequest) -> Iterator[Ask]:
    body = rpc.encode_predict_request(request)
    with grpc.insecure_channel(f"127.0.0.1:{serving.ready.grpc_port}") as channel:
        call = channel.unary_unary(rpc.PREDICT)
        yield lambda: call(body, timeout=_PATIENCE_S)


@contextmanager
def _over_rest(serving: Serving, request: PredictRequest) -> Iterator[Ask]:
    body, path = rest_predict.encode_predict_request(request), f"/v1/models/{request.target.model}:predict"
    assert serving.ready.rest_api_port is not None
    connection = http.client.HTTPConnection("127.0.0.1", serving.ready.rest_api_port, timeout=_PATIENCE_S)

    def ask() -> None:
        connection.request("POST", path, body)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != http.client.OK:
            raise RuntimeError(f"{answer.status} {text[:200]!r}")

    yield ask
    connection.close()


def main() -> int:
    """Print what failed and the longest wait; 1 where anything failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mlp")
    parser.add_argument("--swaps", type=int, default=100)
    parser.add_argument("--clients", type=int, default=2)
    given = parser.parse_args()
    bundle = newest(ROOT / "exported", given.model)
    if bundle is None:
        raise SystemExit(f"there is no bundle of {given.model}: tfx-export build {given.model}")
    case = read_golden(bundle / GOLDEN, read_manifest(bundle).signatures)[0]
    request = PredictRequest(Target(given.model, signature=case.signature), case.feed)
    print(*machine(), sep="\n")
    found = swapped_under_load(bundle / "saved_model", request, given.swaps, given.clients)
    print(f"{given.model}, {found}")
    return 1 if found.failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
