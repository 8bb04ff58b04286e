"""What is to be measured and how hard: paths, settings, and the efforts from --quick to --full."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from toolkit.core.artifact import Manifest
from toolkit.core.plugins import FORMATS, MODEL, RUNTIMES, TRACED
from toolkit.errors import BenchError, nearest
from toolkit.measure.sampling import SECOND_NS, Limits
from toolkit.wire.endpoints import Reach

BASELINE = "eager"
# In this order in every table: from the model as built to what production runs.
_FIRST = ("eager", "function", "graph", "graph-plain", "graph-frozen", "xla")
SERVED = ("grpc", "rest")


@dataclass(frozen=True, order=True)
class Threads:
    """Threads inside one operation, and operations at the same time."""

    intra: int
    inter: int

    def __str__(self) -> str:
        return str(self.intra) if self.intra == self.inter else f"{self.intra}x{self.inter}"


@dataclass(frozen=True)
class Effort:
    """How much is asked of a path before its figures count.

    Args:
        rounds: turns that each path gets at least.
        least_s: sampling time of a path over all rounds.
        most_s: cap of a path's sampling; a path that needs more is INVALID.
        percentiles: those that must have their samples.
        warm_up_s: least warm-up.
        patience: how many times `least_s` may be spent until the windows are flat.
        starts_together: whether workers start two at a time, which makes every cold start look slower.
        workers: worker processes of a path at a time, which take its turns by rotation.
        relays: how many sets of workers take a path's rounds, one after another.
        within: the share that a path's ratio to the baseline may be off by, at 99 %; more rounds are added until it is.
    """

    name: str
    rounds: int
    least_s: float
    most_s: float
    percentiles: tuple[float, ...]
    warm_up_s: float = 1.0
    patience: float = 3.0
    starts_together: bool = False
    workers: int = 1
    relays: int = 1
    within: float = math.inf

    @property
    def processes(self) -> int:
        """How many processes take a path's rounds, in all."""
        return self.workers * self.relays

    def capped(self, most_s: float) -> "Effort":
        """The same with another cap."""
        return replace(self, most_s=most_s)

    @property
    def round_limits(self) -> Limits:
        """One turn of one path."""
        stretch = int(self.least_s / self.rounds * SECOND_NS)
        return Limits(1, stretch, stretch)

    def warm_up_limits(self, relay: int) -> Limits:
        """The warm-up of one path. The first workers have shown by theirs whether it becomes flat; others get less."""
        least_s = self.warm_up_s
        most_s = 4 * least_s if relay else max(self.most_s / 4, 2 * least_s)
        return Limits(10, int(least_s * SECOND_NS), int(most_s * SECOND_NS))


# Two runs that are each off by no more are 5 % apart at most (errors of two that know nothing of each other add up),
# but for what their processes differ by.
FULL_WITHIN = 0.05 / math.sqrt(2)
EFFORTS: Mapping[str, Effort] = MappingProxyType(
    {
        "quick": Effort("quick", 4, 1.0, 10.0, (50, 90), patience=2.0, starts_together=True),
        "normal": Effort("normal", 10, 5.0, 60.0, (50, 90, 99)),
        "full": Effort("full", 120, 30.0, 120.0, (50, 90, 99, 99.9), workers=4, relays=3, within=FULL_WITHIN),
    }
)


@dataclass(frozen=True)
class Source:
    """Where a worker finds the model again: the reference, and what was given with it."""

    reference: str
    root: Path
    imports: tuple[str, ...] = ()
    unsafe_lambda: bool = False


@dataclass(frozen=True)
class Task:
    """One path of one model in one setting: what a worker process opens and runs.

    Args:
        path: its name in tables.
        runtime: what opens it.
        artifact: which artifact of the bundle; empty for a path without a file.
        url: where a server answers, for a served path.
        pid: that server's process, whose memory counts.
        reach: how to reach that server, beyond its URL.
        device: a TensorFlow device, as in `GPU:0`; empty is TensorFlow's choice.
        device_inputs: whether inputs are tensors already, so that conversion is left out.
    """

    model: str
    path: str
    runtime: str
    source: Source
    bundle: Path
    signature: str
    batch_sizes: tuple[int, ...]
    threads: Threads
    artifact: str = ""
    url: str = ""
    pid: int = 0
    reach: Reach = field(default_factory=Reach)
    device: str = ""
    device_inputs: bool = False

    def served_at(self, url: str, pid: int, reach: Reach) -> "Task":
        """The same path asked of a server."""
        return replace(self, url=url, pid=pid, reach=reach)

    @property
    def needs_model(self) -> bool:
        """Whether the worker must make the model again from its source."""
        return not self.artifact and not self.url


def local_paths(manifest: Manifest) -> dict[str, tuple[str, str]]:
    """Path to (runtime, artifact) of everything that runs in one process, in the order of the table."""
    runtimes = RUNTIMES.load_all()
    found = {found.name: (found.name, "") for found in runtimes if {MODEL, TRACED} & set(found.opens)}
    for artifact in manifest.artifacts:
        if artifact.parity.status != "pass":
            continue
        kind = FORMATS.load(artifact.name).opened_as if artifact.name in FORMATS.names() else artifact.format
        judging = [found.name for found in runtimes if found.judges and kind in found.opens]
        if judging:
            # Of several the one called like the format: for a SavedModel the graph-mode loader, as a server has it.
            found[artifact.name] = (kind if kind in judging else judging[0], artifact.name)
    order = {name: at for at, name in enumerate((*_FIRST, *found))}
    return dict(sorted(found.items(), key=lambda item: order[item[0]]))


def unmade_paths(manifest: Manifest) -> dict[str, str]:
    """Artifacts that the bundle names and does not hold, or that were not proven, and why."""
    return {
        artifact.name: f"{artifact.parity.status}: {artifact.parity.reason}"
        for artifact in manifest.artifacts
        if artifact.parity.status != "pass"
    }


def chosen_paths(known: Mapping[str, object], unmade: Mapping[str, str], wanted: tuple[str, ...]) -> list[str]:
    """The paths asked for, all without a choice; eager is always there to compare with.

    Raises:
        BenchError: there is no such path.
    """
    names = [*known, *unmade, *SERVED]
    unknown = next((name for name in wanted if name not in names), None)
    if unknown is not None:
        raise BenchError(f"there is no path '{unknown}'", hint=nearest(unknown, names))
    return [name for name in names if not wanted or name in wanted or name == BASELINE]
