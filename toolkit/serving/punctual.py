"""Refuses a request whose deadline cannot be met, before it costs work."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from toolkit.core.tensors import Feed, Outputs
from toolkit.serving.engine import Run, Runs
from toolkit.serving.library import Lease
from toolkit.serving.servables import Servable
from toolkit.serving.timing import Timing
from toolkit.wire import wording
from toolkit.wire.plans import Check, Plan

# How long a measured time counts: what was slow once gets another chance, or it would be refused for ever.
_RECENT_NS = 1_000_000_000


@dataclass(slots=True)
class _Pace:
    """The least that a signature needed of late, and until when that counts."""

    least_ns: int = 0
    until_ns: int = 0

    def check(self, deadline_ns: int, now_ns: int) -> None:
        """Raises where a deadline cannot be met."""
        left_ns = deadline_ns - now_ns
        needed_ns = self.least_ns if now_ns < self.until_ns else 0
        if left_ns <= needed_ns:
            raise wording.deadline_cannot_be_met(left_ns / 1e6, needed_ns / 1e6)

    def learn(self, took_ns: int, now_ns: int) -> None:
        """A run took so long."""
        if took_ns < self.least_ns or now_ns >= self.until_ns:
            if now_ns >= self.until_ns:
                self.until_ns = now_ns + _RECENT_NS
            self.least_ns = took_ns


@dataclass
class PunctualRuns:
    """Runs whose requests have a deadline.

    A request is refused when less time is left than the fastest recent run of its signature took, so that one which
    might still be answered in time never is.
    """

    inner: Runs
    clock: Callable[[], int] = time.perf_counter_ns
    # What was measured of a version goes with it.
    _paces: WeakKeyDictionary[Servable, dict[str, _Pace]] = field(default_factory=WeakKeyDictionary)

    def check(self, servable: Servable) -> Check:
        """What refuses a version's plans before its session looks at their tensors."""
        return self.inner.check(servable)

    def run(self, lease: Lease, plan: Plan, timing: Timing) -> Outputs:
        """The outputs that the plan fetches.

        Raises:
            ServingError: the deadline has passed, or will have before the model can answer.
        """
        return self.bind(lease, plan)(plan.feed, timing)

    def bind(self, lease: Lease, plan: Plan) -> Run:
        """The same for plans that differ from this one in their values alone."""
        run, clock = self.inner.bind(lease, plan), self.clock
        pace = self._paces.setdefault(lease.servable, {}).setdefault(plan.signature.name, _Pace())

        def punctually(feed: Feed, timing: Timing) -> Outputs:
            if timing.deadline_ns is not None:
                pace.check(timing.deadline_ns, clock())
            before_ns = timing.compute_ns
            outputs = run(feed, timing)
            pace.learn(timing.compute_ns - before_ns, clock())
            return outputs

        return punctually
