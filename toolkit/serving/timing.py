"""Where the time of one request goes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

PHASES = ("queue", "parse", "compute", "encode")


@dataclass(slots=True)
class Timing:
    """Nanoseconds of one request, phase by phase, and what answered it.

    Args:
        queue_ns: from arrival until a thread or a batch took it.
        parse_ns: bytes to arrays, and arrays held against the signature.
        compute_ns: inside the runtime.
        encode_ns: outputs to bytes.
        artifact: what answered.
        deadline_ns: when the caller stops waiting, by time.perf_counter_ns; None waits for ever.
    """

    queue_ns: int = 0
    parse_ns: int = 0
    compute_ns: int = 0
    encode_ns: int = 0
    artifact: str = ""
    deadline_ns: int | None = None

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Adds the time inside the block to a phase."""
        started = time.perf_counter_ns()
        try:
            yield
        finally:
            self.add(name, time.perf_counter_ns() - started)

    def add(self, name: str, elapsed_ns: int) -> None:
        """Adds to a phase."""
        field = f"{name}_ns"
        setattr(self, field, getattr(self, field) + elapsed_ns)

    def as_server_timing(self) -> str:
        """The value of a Server-Timing header (W3C): durations in milliseconds."""
        parts = [f"{name};dur={getattr(self, name + '_ns') / 1e6:.3f}" for name in PHASES]
        return ", ".join([*parts, f'artifact;desc="{self.artifact}"'] if self.artifact else parts)

    def as_metadata(self) -> tuple[tuple[str, str], ...]:
        """The same as gRPC trailing metadata: whole nanoseconds."""
        phases = tuple((f"tfx-{name}-ns", str(getattr(self, f"{name}_ns"))) for name in PHASES)
        return (*phases, ("tfx-artifact", self.artifact)) if self.artifact else phases
