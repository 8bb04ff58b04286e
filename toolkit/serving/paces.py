"""How long the calls of each kind take of late: which of them may run on the thread that all others wait for."""

from dataclasses import dataclass, field
from typing import Any

from toolkit.serving.lanes import Lane
from toolkit.wire.fast_predict import Kind

# Below this, handing a call to another thread and back costs more than the call (docs/performance.md).
SHORT_NS = 300_000
# No busy machine makes a short call as long as this.
LONG_NS = 10_000_000
_SLOW_IN_A_ROW = 4
_SLOWLY = 2  # one call moves the usual time by a quarter of what it differs
_CALLS_BETWEEN_TRIALS = 100
_KINDS_KEPT = 4096


@dataclass(slots=True)
class Pace:
    """How long one kind takes. May be used from several threads; a time that gets lost does no harm.

    Only times on the polling thread count: on the pool calls slow each other, and every one of them looks long. So a
    kind that went to the pool is tried again now and then, unless even the pool says that it is long beyond doubt.

    Args:
        usual_ns: about what one takes on the polling thread.
        slow: how many in a row took too long there.
        pooled: how many calls go to the pool before the next one there; the first one ever, often cold, does.
        least_pooled_ns: the best of those.
        lane: where calls on the pool wait for a core; None where they may run as many at a time as it has threads.
    """

    usual_ns: int = 0
    slow: int = 0
    pooled: int = 1
    least_pooled_ns: int = LONG_NS
    lane: Lane[Any] | None = None

    @property
    def short(self) -> bool:
        """Whether the next call may run on the polling thread."""
        return not self.pooled

    def ran(self, took_ns: int) -> None:
        """A call took so long on the polling thread."""
        self.usual_ns += (took_ns - self.usual_ns) >> _SLOWLY
        if took_ns < SHORT_NS:
            self.slow = 0
            return
        self.slow += 1
        # The first ones of a trial still meet the crowd on the pool.
        if self.slow >= _SLOW_IN_A_ROW or took_ns > LONG_NS:
            self.slow, self.pooled, self.least_pooled_ns = 0, _CALLS_BETWEEN_TRIALS, LONG_NS

    def ran_pooled(self, took_ns: int) -> None:
        """A call took so long on the pool."""
        self.least_pooled_ns = min(self.least_pooled_ns, took_ns)
        self.pooled = max(0, self.pooled - 1)
        # In a lane no more of them run than there are cores: there a time is what it looks like.
        if not self.pooled and self.least_pooled_ns >= (2 * SHORT_NS if self.lane is not None else LONG_NS):
            self.pooled = _CALLS_BETWEEN_TRIALS


@dataclass
class Paces:
    """The pace of each kind. May be used from several threads."""

    _paces: dict[Kind, Pace] = field(default_factory=dict)

    def of(self, kind: Kind) -> Pace:
        """The pace of a kind."""
        pace = self._paces.get(kind)
        if pace is None:
            if len(self._paces) >= _KINDS_KEPT:
                self._paces.clear()
            pace = self._paces.setdefault(kind, Pace())
        return pace
