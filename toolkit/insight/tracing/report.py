"""What was found of a model's graphs, as one value."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from toolkit.graphs.grappler import Optimized
from toolkit.insight.tracing.retracing import Trace
from toolkit.insight.tracing.running import Effect, Placed


@dataclass(frozen=True)
class SignatureTrace:
    """One signature of a model.

    Args:
        calls: how often its function was called; `traces` how often that made a trace.
        failures: calls that the model refused.
        passes: what each pass of Grappler is worth, where that was asked for.
    """

    signature: str
    calls: int
    traces: Sequence[Trace]
    failures: Sequence[str]
    optimized: Optimized
    placed: Placed
    threads: Effect
    passes: Sequence[Effect] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "signature": self.signature,
            "calls": self.calls,
            "traces": [trace.to_json() for trace in self.traces],
            "failures": list(self.failures),
            "grappler": self.optimized.to_json(),
            "devices": dict(self.placed.devices),
            "placement": dict(self.placed.places),
            "parallelism": self.placed.parallelism.to_json(),
            "threads": self.threads.to_json(),
            "passes": [effect.to_json() for effect in self.passes],
        }


@dataclass(frozen=True)
class TraceReport:
    """A model as tracing sees it.

    Args:
        side_effects: `file:line: what` that Python does only while tracing.
        control_flow: `file:line: what` AutoGraph turned into graph ops.
        written: files that were asked for.
    """

    model: str
    signatures: Sequence[SignatureTrace]
    side_effects: Sequence[str] = ()
    control_flow: Sequence[str] = ()
    written: Sequence[str] = field(default_factory=tuple)

    @property
    def count(self) -> int:
        """Traces of all signatures."""
        return sum(len(found.traces) for found in self.signatures)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "model": self.model,
            "traces": self.count,
            "signatures": [found.to_json() for found in self.signatures],
            "side_effects": list(self.side_effects),
            "control_flow": list(self.control_flow),
            "written": list(self.written),
        }
