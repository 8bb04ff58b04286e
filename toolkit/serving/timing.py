"""Where the time of one request goes."""

import time
from dataclasses import dataclass

PHASES = ("queue", "parse", "compute", "encode")
_SERVER_TIMING = ", ".join(f"{name};dur=%.3f" for name in PHASES)
# The deadline of a request whose caller was told meanwhile that it is over: whatever comes of it, that was the answer.
GIVEN_UP_NS = 0
_FIELDS = {name: f"{name}_ns" for name in PHASES}


class _Phase:
    """Adds the time inside a block to a phase. Each request has several: a generator would cost three times as much."""

    __slots__ = ("_name", "_started_ns", "_timing")

    def __init__(self, timing: "Timing", name: str) -> None:
        self._timing, self._name = timing, name

    def __enter__(self) -> None:
        self._started_ns = time.perf_counter_ns()

    def __exit__(self, *_: object) -> None:
        self._timing.add(self._name, time.perf_counter_ns() - self._started_ns)


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

    def phase(self, name: str) -> _Phase:
        """A context manager that adds the time inside it to a phase."""
        return _Phase(self, name)

    def add(self, name: str, elapsed_ns: int) -> None:
        """Adds to a phase."""
        field = _FIELDS[name]
        setattr(self, field, getattr(self, field) + elapsed_ns)

    def share(self, batch: "Timing") -> None:
        """Takes part in a batch: all of its times are this request's too."""
        self.parse_ns += batch.parse_ns
        self.compute_ns += batch.compute_ns
        self.encode_ns += batch.encode_ns
        self.artifact = batch.artifact

    def as_server_timing(self) -> str:
        """The value of a Server-Timing header (W3C): durations in milliseconds."""
        durations = (self.queue_ns / 1e6, self.parse_ns / 1e6, self.compute_ns / 1e6, self.encode_ns / 1e6)
        phases = _SERVER_TIMING % durations
        return f'{phases}, artifact;desc="{self.artifact}"' if self.artifact else phases

    def as_metadata(self) -> tuple[tuple[str, str], ...]:
        """The same as gRPC trailing metadata: whole nanoseconds."""
        phases = (
            ("tfx-queue-ns", str(self.queue_ns)),
            ("tfx-parse-ns", str(self.parse_ns)),
            ("tfx-compute-ns", str(self.compute_ns)),
            ("tfx-encode-ns", str(self.encode_ns)),
        )
        return (*phases, ("tfx-artifact", self.artifact)) if self.artifact else phases
