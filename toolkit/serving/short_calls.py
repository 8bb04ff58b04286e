"""Short calls that wait together: answered in groups, where they arrive and on one more thread where that pays."""

import logging
import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

from toolkit.serving.paces import Pace

log = logging.getLogger(__name__)
Call = TypeVar("Call")
# A group is about so much work: with less, two threads take the interpreter from each other all the time; with more,
# callers wait for nothing (docs/performance.md).
TOGETHER_NS = 1_000_000
# From here on a call is mostly its runtime's own code, which runs beside Python: below, two threads only get into each
# other's way (docs/performance.md).
WORTH_SHARING_NS = 100_000


class Short(NamedTuple, Generic[Call]):
    """A call, and how long its kind takes."""

    call: Call
    pace: Pace


class ShortCalls(Generic[Call]):
    """The short calls of one polling thread, which alone adds to them.

    Args:
        answer: answers a group; on the polling thread or the other one, on each a group at a time.
    """

    def __init__(self, answer: Callable[[Sequence[Short[Call]]], None]) -> None:
        self._answer = answer
        self._own: deque[Short[Call]] = deque()
        self._shared: deque[Short[Call]] = deque()
        self._handed: queue.SimpleQueue[list[Short[Call]]] = queue.SimpleQueue()
        self._helping = False
        self._helper: threading.Thread | None = None

    def __len__(self) -> int:
        return len(self._own) + len(self._shared)

    def add(self, call: Call, pace: Pace) -> None:
        """One more, after all others."""
        (self._shared if pace.usual_ns >= WORTH_SHARING_NS else self._own).append(Short(call, pace))

    def answer_some(self) -> None:
        """Answers a group of those that wait, and has another group answered meanwhile where there is enough."""
        group = _group(self._own)
        if not group:
            if len(self._shared) > 1 and not self._helping:
                self._hand_over()
            group = _group(self._shared)
        if group:
            self._answer(group)

    def _hand_over(self) -> None:
        self._helping = True
        if self._helper is None:
            self._helper = threading.Thread(target=self._help, name="rpc-help", daemon=True)
            self._helper.start()
        self._handed.put(_group(self._shared, len(self._shared) // 2))

    def _help(self) -> None:
        while group := self._handed.get():
            try:
                while group:
                    self._answer(group)
                    # It is awake now: what came meanwhile costs no further hand-over.
                    group = _group(self._shared)
            except Exception:  # one group must not end the thread
                log.exception("a gRPC call was lost")
            finally:
                group = []  # what is still held holds its calls, and the core would wait for that when it ends
                self._helping = False

    def stop(self) -> None:
        """Ends the other thread; nothing waits any more."""
        self._handed.put([])


def _group(waiting: deque[Short[Call]], most: int | None = None) -> list[Short[Call]]:
    """The first ones, up to about so much work and to so many; two threads may take at a time."""
    group: list[Short[Call]] = []
    left_ns = TOGETHER_NS
    try:
        while waiting and left_ns > 0 and (most is None or len(group) < most):
            group.append(waiting.popleft())
            left_ns -= group[-1].pace.usual_ns
    except IndexError:
        pass  # the other thread took the last one
    return group
