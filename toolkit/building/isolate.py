"""Runs functions in one child process with captured output and a time limit, so that a converter may die or hang."""

import os
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self

from toolkit.errors import ExportError, ToolkitError

_TAIL_BYTES = 2000


class ChildDied(ExportError):  # noqa: N818  # named for what happened
    """The child ended, or was ended, before it answered."""


class Isolated:
    """A child process that runs one job after another; after a death or a time-out the next job gets a new one."""

    def __init__(self, *, verbose: bool = False) -> None:
        self._verbose = verbose
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._unread = 0
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as this object
        self.start()

    def start(self) -> None:
        """Starts the child, which gets ready while the caller goes on."""
        ours, theirs = socket.socketpair()
        self._log.seek(0)
        self._log.truncate()
        output = None if self._verbose else self._log
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "toolkit.building.worker", str(theirs.fileno()), str(os.getpid())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=sys.stderr.fileno() if self._verbose else output,
                stderr=output,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)},
                start_new_session=True,  # so that whatever a converter starts can be ended with it
            )
        self._connection = Connection(ours.detach())

    def prepare(self, function: Callable[[], object]) -> None:
        """Lets the child run something in advance; its result and errors are left to the job that needs it."""
        if self._connection is not None:
            self._connection.send_bytes(pickle.dumps((function.__module__, function.__qualname__, ())))
            self._unread += 1

    def run(self, function: Callable[..., Any], *args: Any, timeout_s: float) -> Any:
        """The function's result; it is named by module, and arguments and result are pickled.

        Raises:
            ChildDied: the child was killed by a signal, ended by itself, or ran out of time.
            ToolkitError: the function raised it.
            ExportError: the function raised anything else.
        """
        if self._connection is None:
            self.start()
        assert self._connection is not None
        try:
            self._connection.send_bytes(pickle.dumps((function.__module__, function.__qualname__, args)))
            answer = self._receive(timeout_s)
        except (EOFError, BrokenPipeError, ConnectionResetError) as error:
            raise self._death() from error
        if isinstance(answer, ToolkitError):
            raise answer
        return answer

    def _receive(self, timeout_s: float) -> Any:
        assert self._connection is not None
        deadline = time.monotonic() + timeout_s
        while True:
            if not self._connection.poll(max(0.0, deadline - time.monotonic())):
                self.stop()
                raise ChildDied(f"ran out of time after {timeout_s:g} s", hint="give it more with --timeout")
            content = self._connection.recv_bytes()
            if not self._unread:
                return pickle.loads(content)  # noqa: S301  # from our own child
            self._unread -= 1

    def stop(self) -> None:
        """Ends the child and everything it started."""
        process, connection = self._process, self._connection
        self._process = self._connection = None
        self._unread = 0
        if connection is not None:
            connection.close()
        if process is not None:
            # The group outlives its leader while one of its members lives.
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()

    def _death(self) -> ChildDied:
        process = self._process
        assert process is not None
        code = process.wait()
        self.stop()
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return ChildDied(f"the converter's process {how}{self._last_words()}", hint="-v shows what it wrote")

    def _last_words(self) -> str:
        size = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, size - _TAIL_BYTES))
        lines = [line.strip() for line in self._log.read().decode(errors="replace").splitlines() if line.strip()]
        telling = [line for line in lines if not line.startswith(("#", "@", "***", "0x", "PC:", "File "))]
        return f": {telling[-1]:.200}" if telling else ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()
        self._log.close()
