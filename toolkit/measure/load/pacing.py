"""Waits for the moment at which a request is due; clock and sleep are given, so tests need no time.

wrk2 waits in epoll with a timer, LoadGen in sleep_until, k6 in Go's timers; none of them spins, which on few cores
would take the server's time. A sleep ends late by the timer's slack (50 µs by default), so that is asked to be small.
"""

import contextlib
import ctypes
import os
import time
from collections.abc import Callable
from pathlib import Path

_PR_SET_TIMERSLACK = 29
_SLACK_NS = 1_000
_PRIORITY = -10  # of setpriority(2); only root may, or who was given the right
# A person who interrupts is not kept waiting for the next request of a slow schedule.
_SLICE_NS = 50_000_000

Clock = Callable[[], int]


class Pacer:
    """Waits for moments of a clock, unless it is told to stop.

    Args:
        stopped: looked at now and then while it waits.
    """

    def __init__(
        self,
        stopped: Callable[[], bool],
        clock: Clock = time.perf_counter_ns,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._stopped, self._clock, self._sleep = stopped, clock, sleep

    def wait(self, due_ns: int) -> bool:
        """Returns at that moment, at once where it has passed; False where it was stopped before."""
        while (left_ns := due_ns - self._clock()) > 0:
            if self._stopped():
                return False
            self._sleep(min(left_ns, _SLICE_NS) / 1e9)
        return not self._stopped()


def take_precedence(*, scheduled: bool) -> None:
    """Has this process run before all others of its machine, where it may and while its requests have a schedule.

    A server there must not make the sends late: by its policy (sched(7)) a real-time thread runs the moment it wakes,
    while a nice one may have to wait for the slice of another to end, which is milliseconds. It takes no more of the
    processor for it than its requests need, which is said. Callers who wait for answers have no moment to miss: they
    would only interrupt the server for each answer, where several could have come together.
    """
    for thread in _threads():
        with contextlib.suppress(OSError, AttributeError):  # not Linux, no right to it, or a thread that is over
            policy = os.SCHED_FIFO if scheduled else os.SCHED_OTHER
            os.sched_setscheduler(thread, policy, os.sched_param(os.sched_get_priority_min(policy)))
            continue
        with contextlib.suppress(OSError, AttributeError):
            os.setpriority(os.PRIO_PROCESS, thread, _PRIORITY if scheduled else 0)


def _threads() -> list[int]:
    """Linux counts both by thread, and a thread begins as the one that made it; 0 is the one that asks."""
    try:
        return [int(thread.name) for thread in Path("/proc/self/task").iterdir()]
    except OSError:
        return [0]


def sharpen_timers() -> None:
    """Has this thread's sleeps end within a microsecond or so of when they should. Linux only; prctl(2)."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, _SLACK_NS, 0, 0, 0)
