"""What people ask of `tfx-export load`: frozen, and checked once."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from toolkit.errors import BenchError, UsageError, nearest
from toolkit.measure.load.arrivals import TRACE
from toolkit.measure.load.targets import Place, Serving
from toolkit.wire.endpoints import Reach

DURATION_S, WARM_UP_S, TIMEOUT_S = 10.0, 1.0, 10.0
CALLERS = (1, 4, 16)
# Each request of a run takes 80 bytes of memory, each caller and worker a place of its own.
MOST_REQUESTS = 2e7
MOST_CALLERS, MOST_CONNECTIONS, MOST_WORKERS = 100_000, 10_000, 256
SEED = 20261122
SWAP, SECOND_MODEL = "swap", "load"
DURING = (SWAP, SECOND_MODEL)
BATCHING = "batching"
SWEEPS = (BATCHING,)


@dataclass(frozen=True)
class LoadRequest:
    """What to load and how; the fields are the options of `tfx-export load`, times in seconds.

    Args:
        targets: URLs, or bundles and models of the project, which are then served.
        weights: of each target, in any unit; none is the same for all.
        rates: requests a second, a run each.
        arrival: constant, poisson, or FILE.csv, which has a rate of its own.
        callers: those who each wait for an answer, a run each.
        batch_sizes: rows of a request, each for every run; none sends feeds as they are (golden ones: 1 row).
        duration_s: of each run, after its warm-up; a search takes what its percentile needs, up to
            three times this.
        requests: the most that each run counts.
        slo: percentile and limit, as ("p99", 0.02).
        curve: whether to measure throughput against latency up to what the server can do.
        during: swap or load: what happens in the middle of each run.
        sweep: batching tries parameters of the server.
        feeds: what to send, by model's name, or under an empty name for all.
        workers: processes; 0 takes as many as the rate asks for.
        connections: of each worker; REST opens up to so many at need. 0 is 1 of gRPC, 256 of REST.
        metrics_url: where a server's Prometheus counters are.
        let_sleep: whether idle cores may sleep; else they are kept awake where this process may ask for that.
    """

    targets: tuple[str, ...]
    weights: tuple[float, ...] = ()
    rates: tuple[float, ...] = ()
    arrival: str = "constant"
    callers: tuple[int, ...] = ()
    batch_sizes: tuple[int, ...] = ()
    duration_s: float = DURATION_S
    warm_up_s: float = WARM_UP_S
    requests: int | None = None
    slo: tuple[str, float] | None = None
    curve: bool = False
    during: str = ""
    sweep: str = ""
    feeds: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    signature: str = ""
    seed: int = SEED
    timeout_s: float = TIMEOUT_S
    workers: int = 0
    connections: int = 0
    allow_remote: bool = False
    metrics_url: str = ""
    let_sleep: bool = False
    serving: Serving = field(default_factory=Serving)
    reach: Reach = field(default_factory=Reach)
    root: Path | None = None
    imports: tuple[str, ...] = ()
    verbose: bool = False

    def __post_init__(self) -> None:
        if not self.targets:
            raise UsageError("what is to be loaded?", hint="tfx-export load mlp, or grpc://HOST:PORT/MODEL")
        if self.weights and (len(self.weights) != len(self.targets) or min(self.weights) <= 0):
            raise UsageError("as many weights as targets, each above 0", hint="--weights 3,1 for two targets")
        self._check_sizes()
        if min((*self.callers, *self.batch_sizes), default=1) < 1:
            raise BenchError("callers and rows of a batch are at least one", hint="--concurrency 1,4,16 --batch 1")
        for name, least in (("duration", self.duration_s), ("timeout", self.timeout_s)):
            if not (least > 0 and math.isfinite(least)):
                raise BenchError(f"--{name} {least:g} is no time", hint=f"--{name} 10s")
        for given, known, option in ((self.during, DURING, "during"), (self.sweep, SWEEPS, "sweep")):
            if given and given not in known:
                raise UsageError(f"there is no --{option} {given}", hint=nearest(given, known))
        self._check_combinations()

    def _check_sizes(self) -> None:
        for rate in self.rates:
            if not (rate > 0 and math.isfinite(rate)):
                raise BenchError(f"--rate {rate:g} asks nothing", hint="give requests a second, above 0")
            count = rate * (self.duration_s + self.warm_up_s)
            if min(count, self.requests or count) > MOST_REQUESTS:
                raise BenchError(
                    f"--rate {rate:g} for {self.duration_s:g} s is {count:.3g} requests",
                    hint=f"a run has {MOST_REQUESTS:.0e} at most: a lower --rate, or less --duration",
                )
        if self.requests is not None and self.requests < 1:
            raise BenchError(f"--requests {self.requests} asks nothing", hint="--requests 1000")
        if self.seed < 0:
            raise BenchError(f"--seed {self.seed} is below 0", hint="--seed 1")
        for option, value, most in (
            ("concurrency", max(self.callers, default=0), MOST_CALLERS),
            ("connections", self.connections, MOST_CONNECTIONS),
            ("workers", self.workers, MOST_WORKERS),
        ):
            if not 0 <= value <= most:
                raise BenchError(f"--{option} {value} is out of bounds", hint=f"{most} at most")

    def _check_combinations(self) -> None:
        if self.traced and self.rates:
            raise UsageError("a trace has a rate of its own", hint="leave --rate out")
        if self.callers and (self.rates or self.curve):
            raise UsageError("callers who wait for answers have no rate", hint="--concurrency, or --rate and --curve")
        if self.during and not self.rates:
            raise UsageError(f"--during {self.during} needs a rate to disturb", hint="add --rate 200")
        if self.sweep and not (self.slo or self.rates):
            raise UsageError("a sweep needs something to be best at", hint="add --slo p99=20ms, or --rate 200")
        if self.sweep and (len(self.rates) > 1 or len(self.batch_sizes) > 1):
            raise UsageError("a sweep compares at one rate and one batch size", hint="run it once for each")

    @property
    def traced(self) -> bool:
        """Whether arrivals come from a file."""
        return self.arrival.endswith(TRACE)

    @property
    def searches(self) -> bool:
        """Whether the limit is to be searched for; with a rate it is a gate."""
        return self.slo is not None and not (self.rates or self.callers or self.traced)

    @property
    def place(self) -> Place:
        """Where models are looked for."""
        return Place(self.root, self.imports)

    def settings(self) -> dict[str, object]:
        """What was asked for, as a report keeps it."""
        kept = (
            "targets",
            "weights",
            "rates",
            "arrival",
            "callers",
            "batch_sizes",
            "duration_s",
            "warm_up_s",
            "requests",
        )
        more = ("slo", "curve", "during", "sweep", "signature", "timeout_s", "workers", "connections", "let_sleep")
        found = {name: getattr(self, name) for name in (*kept, *more)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}
