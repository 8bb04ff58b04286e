"""Who reads the sockets of grpcio's core: chosen before it is loaded, and never against what a user has said."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from toolkit.serving.core_listener import choose_polled_sockets, polled_sockets

LOADED = "grpc._cython.cygrpc"
OFF = "-event_engine_listener"
# A server that nobody polls: where the core has threads for its sockets, it greets by itself, and else only once
# somebody polls. The timeout can only end in silence, however slow the machine is.
GREETING = """
import socket, sys, time
from toolkit.serving.core_listener import choose_polled_sockets
if sys.argv[1] == "polled":
    assert choose_polled_sockets()
from grpc._cython import cygrpc
queue, server = cygrpc.CompletionQueue(), cygrpc.Server((), False)
server.register_completion_queue(queue)
port = server.add_http2_port(b"127.0.0.1:0")
server.start()
client = socket.create_connection(("127.0.0.1", port))
client.sendall(b"PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n" + bytes(3) + b"\\x04" + bytes(5))
client.settimeout(30.0 if sys.argv[1] == "own" else 0.3)
try:
    print("greeted" if client.recv(9) else "closed")
except TimeoutError:
    client.setblocking(False)
    greeting, until = b"", time.time() + 30
    while not greeting and time.time() < until:
        queue.poll(time.time() + 0.01)
        try:
            greeting = client.recv(9)
        except BlockingIOError:
            pass
    print("greeted when polled" if greeting else "silent")
client.close()
server.shutdown(queue, "over")
server.cancel_all_calls()
while queue.poll().tag != "over":
    pass
server.destroy()
queue.shutdown()
"""


@pytest.fixture
def unloaded(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A process that has not loaded grpcio, and a user who has said nothing."""
    monkeypatch.delitem(sys.modules, LOADED, raising=False)
    monkeypatch.delenv("GRPC_EXPERIMENTS", raising=False)
    monkeypatch.delenv("GRPC_POLL_STRATEGY", raising=False)
    return monkeypatch


def test_the_core_is_told_before_it_is_loaded(unloaded: pytest.MonkeyPatch) -> None:
    assert not polled_sockets()

    assert choose_polled_sockets()

    assert os.environ["GRPC_EXPERIMENTS"] == OFF
    assert polled_sockets()


def test_other_experiments_stay(unloaded: pytest.MonkeyPatch) -> None:
    unloaded.setenv("GRPC_EXPERIMENTS", "tcp_frame_size_tuning")

    assert choose_polled_sockets()

    assert os.environ["GRPC_EXPERIMENTS"] == f"tcp_frame_size_tuning,{OFF}"


@pytest.mark.parametrize(("said", "polled"), [("event_engine_listener", False), (OFF, True)])
def test_what_a_user_has_said_stands(unloaded: pytest.MonkeyPatch, said: str, polled: bool) -> None:
    unloaded.setenv("GRPC_EXPERIMENTS", said)

    assert choose_polled_sockets() is polled

    assert os.environ["GRPC_EXPERIMENTS"] == said


@pytest.mark.parametrize(("strategy", "polled"), [("poll", False), ("epoll1", True), ("all", True)])
def test_a_poller_whose_sockets_belong_to_one_queue_keeps_its_own_threads(
    unloaded: pytest.MonkeyPatch, strategy: str, polled: bool
) -> None:
    unloaded.setenv("GRPC_POLL_STRATEGY", strategy)

    assert choose_polled_sockets() is polled

    unloaded.setenv("GRPC_EXPERIMENTS", OFF)
    assert polled_sockets() is polled


def test_a_loaded_core_is_as_it_is(unloaded: pytest.MonkeyPatch) -> None:
    unloaded.setitem(sys.modules, LOADED, sys)

    assert not choose_polled_sockets()

    assert "GRPC_EXPERIMENTS" not in os.environ


@pytest.mark.parametrize(("mode", "found"), [("own", "greeted"), ("polled", "greeted when polled")])
def test_the_core_that_is_installed_does_as_it_is_told(mode: str, found: str, root: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "GRPC_EXPERIMENTS"}
    line = [sys.executable, "-c", GREETING, mode]

    done = subprocess.run(line, cwd=root, env=environment, capture_output=True, text=True, timeout=90, check=False)

    assert (done.returncode, done.stdout.strip()) == (0, found), done.stderr


@pytest.mark.long
def test_the_transports_work_with_the_other_listener_too(root: Path) -> None:
    environment = os.environ | {"GRPC_EXPERIMENTS": "event_engine_listener"}
    tests = [
        f"tests/serving/test_{name}.py" for name in ("transports", "grpc_server", "half_sent", "lanes", "rpc_merged")
    ]
    line = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]

    done = subprocess.run(line, cwd=root, env=environment, capture_output=True, text=True, timeout=600, check=False)

    assert done.returncode == 0, done.stdout
