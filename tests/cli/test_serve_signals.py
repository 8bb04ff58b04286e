"""SIGTERM and Ctrl-C to a real server: as it starts, as it serves, and while it drains."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.serving.running import predict, request
from toolkit.cli import signals

PATIENCE_S = 120.0
PATH, BODY = "/v1/models/double:predict", b'{"instances": [[1.0, 2.0]]}'
# What a stopped start ends with: who sends SIGTERM got what was wanted, who types Ctrl-C interrupted it.
CODES = pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])


@dataclass
class Held:
    """A server process, and what it said so far."""

    process: "subprocess.Popen[str]"
    said: list[str] = field(default_factory=list)

    def until(self, word: str, times: int = 1) -> None:
        """Reads its stderr until it has said that so often."""
        assert self.process.stderr is not None
        while sum(word in line for line in self.said) < times:
            line = self.process.stderr.readline()
            assert line, self.said
            self.said.append(line)

    def ready(self) -> Mapping[str, Any]:
        """The ready line."""
        assert self.process.stdout is not None
        found: Mapping[str, Any] = json.loads(self.process.stdout.readline())
        return found

    def let_go(self) -> None:
        """Lets the model answer."""
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def end(self) -> tuple[int, str]:
        """Its exit code, and what was left on stdout."""
        out, rest = self.process.communicate(timeout=PATIENCE_S)
        self.said.append(rest)
        return self.process.returncode, out


@contextmanager
def started(line: list[str], cwd: Path) -> Iterator[Held]:
    """A process, which is gone in the end."""
    pipe = subprocess.PIPE
    process = subprocess.Popen(line, cwd=cwd, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    clock = threading.Timer(PATIENCE_S, process.kill)
    clock.start()
    try:
        yield Held(process)
    finally:
        clock.cancel()
        process.kill()
        process.communicate()


@contextmanager
def held(root: Path, load: str, base: Path, *words: str) -> Iterator[Held]:
    """A server of the model `double`, which loads like that."""
    ports = ("--port=0", "--rest_api_port=0", f"--model_base_path={base}", "--model_name=double")
    with started([sys.executable, "-m", "tests.cli.held_server", load, *ports, *words], root) as server:
        yield server


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A base path with one version."""
    (tmp_path / "double" / "1").mkdir(parents=True)
    return tmp_path / "double"


# How the model loads, the folder that is served, and what is said by then.
STARTS = [
    ("held", "nothing", "waiting"),  # for a base path that is not there
    ("fails", "double", "does not load"),  # in the pause before another attempt
    ("hangs", "double", "loading"),
]


@CODES
@pytest.mark.parametrize("start", STARTS)
def test_a_signal_ends_a_start(
    start: tuple[str, str, str], number: signal.Signals, code: int, root: Path, base: Path
) -> None:
    load, folder, sign = start
    with held(root, load, base.parent / folder, "--strict-start") as server:
        server.until(sign)
        server.process.send_signal(number)
        assert server.end() == (code, "")
    assert "Traceback" not in "".join(server.said)


MODEL = """
import sys
import threading

from toolkit import ModelSpec, TensorSpec


def build():
    sys.stderr.write("its code runs\\n")
    sys.stderr.flush()
    threading.Event().wait()


MODEL = ModelSpec(name="slow", build=build, inputs={"x": TensorSpec("float32", (None, 2))})
"""


def test_a_signal_ends_a_start_that_builds_first_and_the_child_of_the_build(root: Path, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "slow.py").write_text(MODEL)
    (tmp_path / "tfx-export.toml").touch()
    line = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(root)!r}); from toolkit.cli import main; "]
    line[-1] += "main.main(sys.argv[1:])"
    with started([*line, "serve", "slow", "--port=0", "--rest_api_port=0"], tmp_path) as server:
        server.until("its code runs")
        pid = server.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        assert children
        server.process.send_signal(signal.SIGTERM)
        assert server.end() == (0, "")
    assert not [child for child in children if Path("/proc", child).exists()]
    assert not list((tmp_path / "exported").glob("*/[0-9]*"))


def test_sixteen_requests_in_flight_over_both_protocols_are_answered_after_sigterm(root: Path, base: Path) -> None:
    with held(root, "held", base, "--grpc_max_threads=8", "--rest_api_num_threads=8") as server:
        ready = server.ready()
        rest = ready["rest_api_port"]
        with grpc.insecure_channel(f"127.0.0.1:{ready['grpc_port']}") as channel, ThreadPoolExecutor(16) as pool:
            over_grpc = [pool.submit(predict, channel, timeout_s=PATIENCE_S) for _ in range(8)]
            over_rest = [pool.submit(request, rest, "POST", PATH, BODY) for _ in range(8)]
            server.until("inside", 16)
            server.process.send_signal(signal.SIGTERM)
            server.until("draining")
            server.let_go()
            assert [answer.result()[0]["y"].tolist() for answer in over_grpc] == [[[2.0, 2.0]]] * 8
            pages = [answer.result() for answer in over_rest]
            assert [(page.status, json.loads(page.body)) for page in pages] == [(200, {"predictions": [[2, 4]]})] * 8
        assert server.end() == (0, "")


def test_another_signal_ends_a_drain_at_once(root: Path, base: Path) -> None:
    with held(root, "held", base, "--drain-timeout=1h") as server:
        rest, pause = server.ready()["rest_api_port"], threading.Event()
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(request, rest, "POST", PATH, BODY)
            server.until("inside")
            server.process.send_signal(signal.SIGTERM)
            server.until("draining")
            while server.process.poll() is None:  # one that comes right after the first is taken for the same
                server.process.send_signal(signal.SIGINT)
                pause.wait(0.1)
            assert isinstance(asked.exception(), OSError)
        assert server.end() == (130, "")
    assert "a second signal came" in "".join(server.said)


class EndedAtOnceError(Exception):
    """In place of the end of the process."""


def test_the_same_signal_twice_at_a_time_is_one_wish(monkeypatch: pytest.MonkeyPatch) -> None:
    def end(code: int) -> None:
        raise EndedAtOnceError(code)

    handlers: dict[int, Any] = {}
    now_s = [10.0]
    monkeypatch.setattr("toolkit.cli.signals.signal.signal", handlers.__setitem__)
    monkeypatch.setattr("toolkit.cli.signals.time.monotonic", lambda: now_s[0])
    monkeypatch.setattr("toolkit.cli.signals.os._exit", end)
    signals.end_on_signals()
    with pytest.raises(KeyboardInterrupt, match="SIGTERM"):
        handlers[signal.SIGTERM](signal.SIGTERM, None)
    now_s[0] += 0.4
    handlers[signal.SIGTERM](signal.SIGTERM, None)
    now_s[0] += 0.2
    with pytest.raises(EndedAtOnceError, match="130"):
        handlers[signal.SIGINT](signal.SIGINT, None)
