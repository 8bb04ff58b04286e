"""Runs functions in one child process with captured output and a time limit, so that a converter may die or hang."""

import os
import pickle
import re
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Self

from toolkit.errors import ExportError, ToolkitError

START_LIMIT_S = 300.0  # importing TensorFlow takes seconds, on a cold and busy disk minutes
_ENDING_S = 5.0
_TAIL_BYTES = 4000
# Banners, addresses and what native libraries note in passing explain no death.
_NOISE = re.compile(r"[#@]|\*\*\*|0x|PC:|File |Stack trace|WARNING|[IW]\d{4} |\d{4}-\d\d-\d\d .*: [IW] ")
_MARK = "TFX_EXPORT_CHILD"


class ChildDied(ExportError):  # noqa: N818  # named for what happened
    """The child ended, or was ended, before it answered."""


class Isolated:
    """A child process that runs one job after another; after a death or a time-out the next job gets a new one."""

    def __init__(self, *, verbose: bool = False) -> None:
        self._verbose = verbose
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._preparations: list[Callable[[], object]] = []
        self._unread = 0
        self._mark = secrets.token_hex(16)
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as this object
        self._log_start = 0
        self.start()

    def start(self) -> None:
        """Starts the child, which gets ready while the caller goes on."""
        ours, theirs = socket.socketpair()
        output = None if self._verbose else self._log
        python_path = os.pathsep.join(entry for entry in sys.path if entry)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "toolkit.building.worker", str(theirs.fileno()), str(os.getpid())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=sys.stderr.fileno() if self._verbose else output,
                stderr=output,
                env=os.environ | {"PYTHONPATH": python_path, _MARK: self._mark},
                start_new_session=True,  # so that whatever a converter starts can be ended with it
            )
        self._connection = Connection(ours.detach())
        for function in self._preparations:
            self._send(function)
            self._unread += 1

    def prepare(self, function: Callable[[], object]) -> None:
        """Lets the child, and each that takes its place, run something in advance; its result is dropped."""
        self._preparations.append(function)
        if self._connection is not None:
            self._send(function)
            self._unread += 1

    def run(self, function: Callable[..., Any], *args: Any, timeout_s: float) -> Any:
        """The function's result; it is named by module, and arguments and result are pickled.

        Args:
            function: a function of an importable module.
            args: what it gets.
            timeout_s: the limit of the function alone; the child's start is not counted.

        Raises:
            ChildDied: the child was killed by a signal, ended by itself, or ran out of time.
            ToolkitError: the function raised it.
            ExportError: the function raised anything else.
        """
        if self._connection is None:
            self.start()
        try:
            while self._unread:
                self._receive(START_LIMIT_S)
                self._unread -= 1
            self._log_start = os.fstat(self._log.fileno()).st_size
            self._send(function, *args)
            answer = self._receive(timeout_s)
        except (EOFError, BrokenPipeError, ConnectionResetError) as error:
            raise self._death() from error
        except KeyboardInterrupt:
            self.stop()
            raise
        if isinstance(answer, ToolkitError):
            raise answer
        return answer

    def _send(self, function: Callable[..., Any], *args: Any) -> None:
        assert self._connection is not None
        self._connection.send_bytes(pickle.dumps((function.__module__, function.__qualname__, args)))

    def _receive(self, timeout_s: float) -> Any:
        assert self._connection is not None
        if not self._connection.poll(timeout_s):
            self.stop()
            raise ChildDied(f"it ran out of time after {timeout_s:g} s", hint="give it more with --timeout")
        return pickle.loads(self._connection.recv_bytes())  # noqa: S301  # from our own child

    @property
    def pid(self) -> int:
        """The child's process; 0 where there is none just now."""
        return self._process.pid if self._process is not None else 0

    def stop(self) -> None:
        """Ends the child and everything it started."""
        process, connection = self._process, self._connection
        self._process = self._connection = None
        self._unread = 0
        if connection is not None:
            connection.close()
        if process is not None:
            # The group outlives its leader while one of its members lives.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            self._end_strays()

    def _end_strays(self) -> None:
        """Ends what has left the child's group; it still has the child's environment. Linux only."""
        mark = f"{_MARK}={self._mark}".encode()
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    os.kill(int(folder.name), signal.SIGKILL)

    def _death(self) -> ChildDied:
        process = self._process
        assert process is not None
        # It closed its end, which is not yet to have ended.
        with suppress(subprocess.TimeoutExpired):
            process.wait(_ENDING_S)
        self.stop()
        code = process.returncode
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return ChildDied(f"its process {how}{self._last_words()}", hint="-v shows what it wrote")

    def _last_words(self) -> str:
        size = os.fstat(self._log.fileno()).st_size
        start = max(self._log_start, size - _TAIL_BYTES)
        written = os.pread(self._log.fileno(), size - start, start).decode(errors="replace")
        telling = [text for line in written.splitlines() if (text := line.strip()) and not _NOISE.match(text)]
        return f": {telling[-1]:.200}" if telling else ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._log.close()
