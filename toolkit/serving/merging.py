"""Runs requests of one form as one batch, where a row is answered alike alone and among others."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

import numpy as np

from toolkit.core.tensors import Feed, Outputs
from toolkit.errors import Fault, ServingError
from toolkit.serving.library import Lease
from toolkit.serving.timing import Timing
from toolkit.wire.plans import Plan

# What bundles are proven with: 1, 7 and 32 rows.
MOST_ROWS = 32
Run = Callable[[Feed, Timing], Outputs]


class Binds(Protocol):
    """What gives a way to run plans of one shape."""

    def bind(self, lease: Lease, plan: Plan) -> Run:
        """Runs plans that differ from this one in their values alone."""


@dataclass(slots=True, eq=False)
class Merged:
    """What runs requests of one form together.

    Args:
        plan: of one of them by itself, without its feed: that is views of a whole request.
        bind: gives what runs plans that are shaped like this one.
        rows: of each.
    """

    plan: Plan
    bind: Callable[[Plan], Run]
    rows: int
    _runs: dict[int, Run] = field(default_factory=dict)

    @property
    def most(self) -> int:
        """How many are run at a time."""
        return max(1, MOST_ROWS // self.rows)

    def run(self, feed: Feed, count: int, timing: Timing) -> Outputs:
        """The outputs of so many requests, their rows below each other.

        Raises:
            ToolkitError: the batch was refused, or an output has other rows; each has to be asked by itself.
        """
        run = self._runs.get(count)
        if run is None:
            # Another number of rows may have another artifact that is fastest.
            run = self._runs[count] = self.bind(replace(self.plan, feed=feed))
        outputs = run(feed, timing)
        rows = count * self.rows
        for name, array in outputs.items():
            if not array.ndim or len(array) != rows:
                raise ServingError(
                    f"{rows} rows gave an output '{name}' of shape {array.shape}",
                    hint="ask for each by itself",
                    fault=Fault.INTERNAL,
                )
        return outputs

    def run_each(self, feeds: Sequence[Feed], timings: Sequence[Timing]) -> list[Outputs]:
        """The same from a feed of each to the outputs of each; all of them spend the whole batch's time."""
        started_ns, batch = time.perf_counter_ns(), Timing()
        feed = {name: np.concatenate([one[name] for one in feeds]) for name in feeds[0]}
        outputs, rows = self.run(feed, len(feeds), batch), self.rows
        took_ns = time.perf_counter_ns() - started_ns
        for timing in timings:
            timing.compute_ns, timing.artifact = timing.compute_ns + took_ns, batch.artifact
        starts = range(0, len(feeds) * rows, rows)
        return [{name: array[at : at + rows] for name, array in outputs.items()} for at in starts]


def merged_of(runs: Binds | None, lease: Lease, plan: Plan) -> Merged | None:
    """What runs requests like this one together; None where a row's answer may depend on the others, or is no row's."""
    if runs is None or plan.signature.name not in lease.servable.rows_alone:
        return None
    rows = {len(array) if array.ndim else 0 for array in plan.feed.values()}
    # Inputs of different lengths are no batch; the model has the words for that.
    if len(rows) != 1 or not 0 < 2 * min(rows) <= MOST_ROWS:
        return None
    return Merged(replace(plan, feed={}), partial(runs.bind, lease), rows.pop())
