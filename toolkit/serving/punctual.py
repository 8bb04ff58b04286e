"""Refuses a request whose deadline cannot be met, before it costs work."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from toolkit.core.tensors import Outputs
from toolkit.serving.engine import Runs
from toolkit.serving.library import Lease
from toolkit.serving.timing import Timing
from toolkit.wire import wording
from toolkit.wire.plans import Plan

# How long a measured time counts: what was slow once gets another chance, or it would be refused for ever.
_RECENT_NS = 1_000_000_000


@dataclass(slots=True)
class _Pace:
    """The least that a signature needed of late, and until when that counts."""

    least_ns: int
    until_ns: int


@dataclass
class PunctualRuns:
    """Runs whose requests have a deadline.

    A request is refused when less time is left than the fastest recent run of its signature took, so that one which
    might still be answered in time never is.
    """

    inner: Runs
    clock: Callable[[], int] = time.perf_counter_ns
    _paces: dict[tuple[str, int, str], _Pace] = field(default_factory=dict)

    def run(self, lease: Lease, plan: Plan, timing: Timing) -> Outputs:
        """The outputs that the plan fetches.

        Raises:
            ServingError: the deadline has passed, or will have before the model can answer.
        """
        key = (lease.target.model, lease.version, plan.signature.name)
        if timing.deadline_ns is not None:
            self._check(key, timing.deadline_ns)
        before_ns = timing.compute_ns
        outputs = self.inner.run(lease, plan, timing)
        self._learn(key, timing.compute_ns - before_ns)
        return outputs

    def _check(self, key: tuple[str, int, str], deadline_ns: int) -> None:
        now_ns = self.clock()
        left_ns = deadline_ns - now_ns
        pace = self._paces.get(key)
        needed_ns = pace.least_ns if pace is not None and now_ns < pace.until_ns else 0
        if left_ns <= needed_ns:
            raise wording.deadline_cannot_be_met(left_ns / 1e6, needed_ns / 1e6)

    def _learn(self, key: tuple[str, int, str], took_ns: int) -> None:
        now_ns = self.clock()
        pace = self._paces.get(key)
        if pace is None or now_ns >= pace.until_ns:
            self._paces[key] = _Pace(took_ns, now_ns + _RECENT_NS)
        elif took_ns < pace.least_ns:
            pace.least_ns = took_ns
