"""Calls of one kind that wait for a core: no more at a time than there are cores, and whoever is done takes the next.

A call that computes from start to end gains nothing where more of its kind run than there are cores: they take the
cores and their caches from each other, and each costs a hand-over to a thread (docs/performance.md).
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from toolkit.serving.pool import BoundedPool

log = logging.getLogger(__name__)
Call = TypeVar("Call")
# Calls that one run answers together wait for each other about so long.
TOGETHER_NS = 6_000_000
# Then a thread goes back to its pool, where other calls may wait for it.
_AT_A_TIME_NS = 50_000_000
# Every so many groups the dearer way is tried once more.
_GROUPS_BETWEEN_TRIALS = 64
_SLOWLY = 3  # one group moves the usual time by an eighth of what it differs


class Lane(Generic[Call]):
    """The waiting calls of one kind. May be used from several threads.

    Args:
        pool: whose threads work on them, and which counts them.
        width: how many threads at most.
        answer: answers a group; says how many of it the model ran, and not refused.
        clock: nanoseconds.
    """

    def __init__(
        self,
        pool: BoundedPool,
        width: int,
        answer: Callable[[Sequence[Call]], int],
        clock: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        self.joins = False  # whether one run answers several: else each is taken by itself
        self._pool, self._width, self._answer, self._clock = pool, width, answer, clock
        self._waiting: deque[Call] = deque()
        self._working = self._groups = 0
        self._each_ns = {False: 0, True: 0}  # what a call takes by itself, and among others
        self._lock = threading.Lock()

    def add(self, call: Call) -> None:
        """One more, after all others."""
        self._pool.hold(1)
        with self._lock:
            self._waiting.append(call)
            if self._working == self._width:
                return
            self._working += 1
        self._pool.submit_unheld(self._work)

    def _work(self) -> None:
        now_ns = self._clock()
        end_ns = now_ns + _AT_A_TIME_NS
        while now_ns < end_ns:
            group = self._next()
            if not group:
                return
            started_ns, ran = now_ns, 0
            try:
                ran = self._answer(group)
            except Exception:  # a fault of ours, which is logged: those that wait behind it have still to be answered
                log.exception("a gRPC call was lost")
            finally:
                now_ns = self._clock()
                self._pool.hold(-len(group))
                if ran == len(group):  # else it was over sooner, which says nothing
                    self._learn(ran, now_ns - started_ns)
                group = []  # what is still held holds its calls, and the core would wait for that when it ends
        self._pool.submit_unheld(self._work)

    def _next(self) -> list[Call]:
        """Those to be answered together; none where this thread is not needed any more."""
        with self._lock:
            waiting = self._waiting
            if not waiting:
                self._working -= 1
                return []
            return [waiting.popleft() for _ in range(self._count())]

    def _count(self) -> int:
        self._groups += 1
        alone_ns, among_ns = self._each_ns[False], self._each_ns[True]
        together = among_ns <= alone_ns
        trial = self._groups % _GROUPS_BETWEEN_TRIALS == 0
        if trial and among_ns:
            together = not together
        if not self.joins or not together:
            return 1
        # No thread takes what another one could begin with.
        share = -(-len(self._waiting) // self._width)
        # Two of a kind so long that they would not wait for each other are tried together once, to be known.
        least = 2 if trial and not among_ns else 1
        return min(share, max(least, TOGETHER_NS // (among_ns or alone_ns or TOGETHER_NS)))

    def _learn(self, count: int, took_ns: int) -> None:
        each_ns, known_ns = took_ns // count, self._each_ns[count > 1]
        self._each_ns[count > 1] = known_ns + ((each_ns - known_ns) >> _SLOWLY) if known_ns else each_ns
