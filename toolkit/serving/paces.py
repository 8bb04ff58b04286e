"""How long the calls of each kind take of late: which of them may run where nothing else can meanwhile."""

from dataclasses import dataclass, field

from toolkit.wire.messages import Target

# What asks alike takes alike: the model, version and signature, and the size of the request.
Kind = tuple[Target, int]
# Below this, handing a call to another thread and back costs more than the call (docs/performance.md).
SHORT_NS = 200_000
_KINDS_KEPT = 4096


@dataclass
class Paces:
    """Times by kind. May be used from several threads; a time that gets lost does no harm.

    A shorter time counts at once and a longer one little by little, since calls side by side slow each other: a kind
    that is short by itself comes back after a crowd, and one that has become long is found out by its next call.
    """

    _paces_ns: dict[Kind, float] = field(default_factory=dict)

    def short(self, kind: Kind) -> bool:
        """Whether a call of this kind was short; one that never ran is not."""
        return self._paces_ns.get(kind, SHORT_NS) < SHORT_NS

    def learn(self, kind: Kind, took_ns: int) -> None:
        """A call of this kind took so long."""
        pace_ns = self._paces_ns.get(kind)
        if pace_ns is None:
            if len(self._paces_ns) >= _KINDS_KEPT:
                self._paces_ns.clear()
            pace_ns = took_ns
        self._paces_ns[kind] = min(took_ns, pace_ns + (took_ns - pace_ns) / 8)
