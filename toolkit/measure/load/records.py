"""What was written down of each request, and the latencies it comes to: corrected and uncorrected. Pure.

Corrected latencies count from when a request was due. Uncorrected ones are what callers who wait for each answer would
have seen in the same run: while all of them wait they send nothing, and what would have waited longest is not measured
(coordinated omission, as wrk2 calls it).
"""

import heapq
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from toolkit.measure.load import outcomes
from toolkit.serving.timing import PHASES

Numbers = npt.NDArray[np.int64]
# A send counts as late from 1 ms on, or from a tenth of the median latency where that is more: what is below changes
# no figure.
LATE_NS = 1_000_000
LATE_SHARE = 0.1
_NS = 1e9


@dataclass(frozen=True, eq=False)
class Records:
    """The requests of one run, in the order in which they were due.

    Args:
        columns: as on a tape; times in ns since the start, -1 where there is none.
        from_ns: what was due before was for warming up, and is not counted.
        until_ns: the end of the schedule.
    """

    columns: Mapping[str, Numbers]
    from_ns: int
    until_ns: int

    @cached_property
    def counted(self) -> Mapping[str, Numbers]:
        """The columns of the requests that count."""
        keep = self.columns["due"] >= self.from_ns
        return {name: values[keep] for name, values in self.columns.items()}

    def of_stream(self, stream: int) -> "Records":
        """The requests of one stream."""
        keep = self.columns["stream"] == stream
        return Records({name: values[keep] for name, values in self.columns.items()}, self.from_ns, self.until_ns)

    def between(self, from_ns: int, until_ns: int) -> "Records":
        """The requests that were due in a part of the run."""
        keep = (self.columns["due"] >= from_ns) & (self.columns["due"] < until_ns)
        return Records({name: values[keep] for name, values in self.columns.items()}, from_ns, until_ns)

    def __len__(self) -> int:
        return len(self.counted["due"])

    @cached_property
    def seconds(self) -> float:
        """How long the counted part took."""
        return max((self.until_ns - self.from_ns) / _NS, 1e-9)

    @cached_property
    def _timed(self) -> npt.NDArray[np.bool_]:
        # A time-out took at least as long as it took: leaving it out would hide the tail. Other errors are no answers.
        return np.isin(self.counted["outcome"], (outcomes.WELL, *outcomes.TIMEOUTS))

    @cached_property
    def corrected_ns(self) -> Numbers:
        """From when each request was due; in that order."""
        return (self.counted["done"] - self.counted["due"])[self._timed]

    @cached_property
    def from_send_ns(self) -> Numbers:
        """From when each request was sent."""
        return (self.counted["done"] - self.counted["sent"])[self._timed]

    @cached_property
    def due_ns(self) -> Numbers:
        """When each of the latencies' requests was due."""
        return self.counted["due"][self._timed]

    @cached_property
    def waiting_callers(self) -> int:
        """How many callers who wait for each answer keep this rate (Little's law, of the median)."""
        if not len(self.from_send_ns):
            return 1
        return max(1, math.ceil(self.rate_offered * float(np.median(self.from_send_ns)) / _NS))

    @cached_property
    def uncorrected_ns(self) -> Numbers:
        """From send to answer, of the requests that so many waiting callers would have sent."""
        free = [-1] * self.waiting_callers
        kept = np.zeros(len(self.due_ns), dtype=bool)
        ends = self.due_ns + self.from_send_ns
        for at, (due, end) in enumerate(zip(self.due_ns.tolist(), ends.tolist(), strict=True)):
            if free[0] <= due:
                kept[at] = True
                heapq.heapreplace(free, end)
        return self.from_send_ns[kept]

    @cached_property
    def late_share(self) -> float:
        """The share of requests that the client sent late, or not at all."""
        if not len(self):
            return 0.0
        sent, due = self.counted["sent"], self.counted["due"]
        median = float(np.median(self.from_send_ns)) if len(self.from_send_ns) else 0.0
        return float(((sent < 0) | (sent - due > max(LATE_NS, LATE_SHARE * median))).mean())

    @cached_property
    def send_error_ns(self) -> Numbers:
        """How late each request was sent."""
        was = self.counted["sent"] >= 0
        return (self.counted["sent"] - self.counted["due"])[was]

    @property
    def rate_offered(self) -> float:
        """Requests a second that were due."""
        return len(self) / self.seconds

    @property
    def rate_achieved(self) -> float:
        """Requests a second that were answered well within the run."""
        return float(self._inside.sum()) / self.seconds

    @cached_property
    def _inside(self) -> npt.NDArray[np.bool_]:
        # All answers within the window, also to requests that were due in the warm-up: what comes out in a time.
        done = self.columns["done"]
        return (self.columns["outcome"] == outcomes.WELL) & (done >= self.from_ns) & (done < self.until_ns)

    @cached_property
    def errors(self) -> Mapping[str, int]:
        """Errors by the protocol's name, most frequent first."""
        return outcomes.counted(self.counted["outcome"])

    @property
    def error_share(self) -> float:
        """The share of requests without a good answer."""
        return sum(self.errors.values()) / max(1, len(self))

    def count(self, kinds: tuple[int, ...]) -> int:
        """How many ended in one of these ways."""
        return int(np.isin(self.counted["outcome"], kinds).sum())

    @cached_property
    def phases_ns(self) -> Mapping[str, Numbers]:
        """Nanoseconds of each phase of the answered requests, as far as the server told; else of the network alone."""
        well = self.counted["outcome"] == outcomes.WELL
        told = {name: self.counted[name][well] for name in PHASES}
        answered = (self.counted["done"] - self.counted["sent"])[well]
        rest = np.maximum(0, answered - sum(told.values()))
        waited = np.maximum(0, (self.counted["sent"] - self.counted["due"])[well])
        server = told if any(values.any() for values in told.values()) else {}
        return {"client wait": waited, "network": rest, **server}

    def windows(self, count: int) -> list["Records"]:
        """Equal parts of the counted time."""
        edges = np.linspace(self.from_ns, self.until_ns, count + 1).astype(np.int64).tolist()
        return [self.between(start, end) for start, end in pairwise(edges)]
