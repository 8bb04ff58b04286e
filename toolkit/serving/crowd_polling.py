"""A second thread that reads and writes the core's sockets, while calls that came together are answered."""

import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

# So long it goes on after the last calls that came together; then one that comes alone has the sockets for itself.
MOMENT_S = 0.05


class Queue(Protocol):
    """A completion queue of the core."""

    def poll(self, deadline: float | None = None) -> Any:
        """The next event; None waits for ever."""

    def shutdown(self) -> None:
        """Ends it: the last event says so."""


class CrowdPolling:
    """Polls a queue of the server on which no call is asked for, so that it has no events, only sockets.

    A socket is read and written by whoever polls any queue of the server. With one thread that polls and answers,
    nobody would do so while it answers; with two that always poll, a call that comes alone would be handed over.

    Args:
        queue: registered with the server before that starts.
        ended: the type of the event that says that the queue was shut down.
        clock: seconds since the epoch, as the core counts deadlines.
    """

    def __init__(self, queue: Queue, ended: Any, clock: Callable[[], float] = time.time) -> None:
        self._queue, self._ended, self._clock = queue, ended, clock
        self._wanted = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="rpc-sockets", daemon=True)

    def start(self) -> None:
        """Ready to help."""
        self._thread.start()

    def help(self) -> None:
        """Calls came together: polls from now on for a moment."""
        if not self._wanted.is_set():
            self._wanted.set()

    def stop(self) -> None:
        """Ends the thread and the queue; the server is gone."""
        self._queue.shutdown()
        self._wanted.set()

    def _poll(self) -> None:
        event = None
        while event is None or event.completion_type != self._ended:
            self._wanted.wait()
            self._wanted.clear()
            event = self._queue.poll(self._clock() + MOMENT_S)
