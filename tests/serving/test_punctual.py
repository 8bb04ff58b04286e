"""A request that would be answered too late is refused before it costs work, and only then."""

import gc
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from tests.serving.fakes import FakeServable
from tests.serving.running import SIGNATURES, TARGET
from toolkit.core.tensors import Outputs
from toolkit.errors import Fault, ServingError
from toolkit.serving.engine import Run
from toolkit.serving.library import Lease
from toolkit.serving.punctual import PunctualRuns
from toolkit.serving.servables import Servable
from toolkit.serving.timing import Timing
from toolkit.wire.plans import Check, Plan, no_check

MS = 1_000_000
PLAN = Plan(SIGNATURES["serving_default"], {"x": np.ones((1, 2), np.float32)}, ("y",))


@dataclass
class Clockwork:
    """Runs that take as long as the test says, on a clock of its own."""

    now_ns: int = 0
    takes_ms: float = 0.0
    runs: int = 0
    lease: Lease = field(default_factory=lambda: Lease(TARGET, 1, FakeServable(Path("1"))))

    def __call__(self) -> int:
        return self.now_ns

    def check(self, _: Servable) -> Check:
        return no_check

    def bind(self, lease: Lease, plan: Plan) -> Run:
        return lambda _, timing: self.run(lease, plan, timing)

    def run(self, lease: Lease, plan: Plan, timing: Timing) -> Outputs:
        self.runs += 1
        self.now_ns += int(self.takes_ms * MS)
        timing.add("compute", int(self.takes_ms * MS))
        return {}


def ask(runs: PunctualRuns, inner: Clockwork, left_ms: float | None) -> None:
    deadline_ns = None if left_ms is None else inner.now_ns + int(left_ms * MS)
    runs.run(inner.lease, PLAN, Timing(deadline_ns=deadline_ns))


def test_a_deadline_that_has_passed_costs_no_work() -> None:
    inner = Clockwork()
    with pytest.raises(ServingError, match="The deadline passed") as refused:
        ask(PunctualRuns(inner, inner), inner, left_ms=-1)
    assert (refused.value.fault, inner.runs) == (Fault.DEADLINE, 0)


def test_less_time_than_the_fastest_recent_run_took_costs_no_work() -> None:
    inner = Clockwork(takes_ms=30)
    runs = PunctualRuns(inner, inner)
    ask(runs, inner, None)
    inner.takes_ms = 20
    ask(runs, inner, None)
    with pytest.raises(ServingError, match=r"19\.0 ms away and the model needs 20\.0 ms"):
        ask(runs, inner, left_ms=19)
    ask(runs, inner, left_ms=21)
    assert inner.runs == 3


def test_what_was_slow_once_gets_another_chance() -> None:
    inner = Clockwork(takes_ms=500)
    runs = PunctualRuns(inner, inner)
    ask(runs, inner, None)
    with pytest.raises(ServingError):
        ask(runs, inner, left_ms=100)
    inner.now_ns += 1001 * MS
    inner.takes_ms = 1
    ask(runs, inner, left_ms=100)
    ask(runs, inner, left_ms=5)


def test_without_a_deadline_nothing_is_refused() -> None:
    inner = Clockwork(takes_ms=500)
    runs = PunctualRuns(inner, inner)
    for _ in range(3):
        ask(runs, inner, None)
    assert inner.runs == 3


def test_what_was_measured_of_a_version_goes_with_it_and_is_no_other_ones() -> None:
    inner = Clockwork(takes_ms=500)
    runs = PunctualRuns(inner, inner)
    ask(runs, inner, None)
    inner.lease = Lease(TARGET, 1, FakeServable(Path("1")))  # loaded anew, and faster
    inner.takes_ms = 1
    ask(runs, inner, left_ms=100)
    gc.collect()
    assert len(runs._paces) == 1
