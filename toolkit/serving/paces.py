"""How long the calls of each kind take of late: which of them may run on the thread that all others wait for."""

from dataclasses import dataclass, field

from toolkit.wire.messages import Target

# What asks alike takes alike: the model, version and signature, and the size of the request.
Kind = tuple[Target, int]
# Below this, handing a call to another thread and back costs more than the call (docs/performance.md).
SHORT_NS = 300_000
# No busy machine makes a short call as long as this.
LONG_NS = 10_000_000
_CALLS_KEPT = 4
_CALLS_BETWEEN_TRIALS = 100
_KINDS_KEPT = 4096


@dataclass(slots=True)
class _Pace:
    """The last times on the polling thread; how many calls go to the pool before the next one there, and their best."""

    last_ns: tuple[int, ...] = ()
    pooled: int = 0
    least_pooled_ns: int = LONG_NS


@dataclass
class Paces:
    """The pace of each kind. May be used from several threads; a time that gets lost does no harm.

    Only times on the polling thread count: on the pool calls slow each other, and every one of them looks long. So a
    kind that went to the pool is tried again now and then, unless even the pool says that it is long beyond doubt.
    """

    _paces: dict[Kind, _Pace] = field(default_factory=dict)

    def short(self, kind: Kind) -> bool:
        """Whether the next call of this kind may run on the polling thread; the first one, often cold, may not."""
        pace = self._paces.get(kind)
        return pace is not None and not pace.pooled

    def ran(self, kind: Kind, took_ns: int) -> None:
        """A call took so long on the polling thread."""
        pace = self._paces.get(kind) or self._new(kind)
        pace.last_ns = (*pace.last_ns[1 - _CALLS_KEPT :], took_ns)
        # The first ones of a trial still meet the crowd on the pool.
        tried = len(pace.last_ns) == _CALLS_KEPT and min(pace.last_ns) >= SHORT_NS
        if tried or took_ns > LONG_NS:
            pace.last_ns, pace.pooled, pace.least_pooled_ns = (), _CALLS_BETWEEN_TRIALS, LONG_NS

    def ran_pooled(self, kind: Kind, took_ns: int) -> None:
        """A call took so long on the pool."""
        pace = self._paces.get(kind) or self._new(kind)
        pace.least_pooled_ns = min(pace.least_pooled_ns, took_ns)
        pace.pooled = max(0, pace.pooled - 1)
        if not pace.pooled and pace.least_pooled_ns >= LONG_NS:
            pace.pooled = _CALLS_BETWEEN_TRIALS

    def _new(self, kind: Kind) -> _Pace:
        if len(self._paces) >= _KINDS_KEPT:
            self._paces.clear()
        return self._paces.setdefault(kind, _Pace())
