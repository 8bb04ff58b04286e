"""What a worker process does: opens one path and keeps it, proves it right, warms it up, and times it when asked."""

import gc
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from toolkit.core.tensors import Feed
from toolkit.errors import BenchError
from toolkit.measure.feeds import feed_of
from toolkit.measure.opening import OpenPath
from toolkit.measure.phases import phases_of
from toolkit.measure.plan import Task
from toolkit.measure.sampling import Limits, WarmUp, collector_off, time_calls, warm_up


@dataclass(frozen=True)
class Started:
    """A path is open: what starting took and gave.

    Args:
        cold_s: the parts of its cold start in seconds; the first call is of the first batch size.
        problem: what is wrong with its answers.
        caveat: what was not asked.
        absent: batch sizes that it cannot be fed, and why.
    """

    cold_s: Mapping[str, float]
    problem: str
    caveat: str = ""
    absent: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Turn:
    """What one turn gave: nanoseconds of each call, and for served paths of its phases."""

    samples_ns: "array[int]"
    phases_ns: Mapping[str, "array[int]"]


class _Bench:
    """The one open path of this process."""

    path: OpenPath
    feeds: dict[int, Any]


_BENCH = _Bench()


def awake() -> None:
    """Nothing: the answer shows that the process has started."""


def start(task: Task) -> Started:
    """Open a path and call it once, then ask it the golden cases.

    Raises:
        ToolkitError: it does not open or run, or can be fed none of the batch sizes.
    """
    path = OpenPath(task)
    feeds, absent = _feeds(path, task.batch_sizes)
    _BENCH.path = path
    _BENCH.feeds = {size: path.converted(feed) for size, feed in feeds.items()}
    path.watch.skip()
    path.runner.run(next(iter(_BENCH.feeds.values())))
    path.watch.lap("first call")
    problem = path.problem()
    # What is alive now stays: without this, a look through all of TensorFlow before each turn costs 0.1 s.
    gc.collect()
    gc.freeze()
    return Started(dict(path.cold_s), problem, path.caveat, absent)


def _feeds(path: OpenPath, sizes: Sequence[int]) -> tuple[dict[int, Feed], dict[int, str]]:
    """The feed of each batch size, or why there is none; raises where there is none at all."""
    feeds: dict[int, Feed] = {}
    absent: dict[int, str] = {}
    for size in sizes:
        try:
            feeds[size] = feed_of(path.cases, path.signature, size)
        except BenchError as error:
            absent[size] = error.message
            if len(absent) == len(sizes):
                raise
    return feeds, absent


def warm(batch_size: int, limits: Limits) -> WarmUp:
    """Warm the path up at one batch size."""
    with collector_off():
        return warm_up(_BENCH.path.runner.run, _BENCH.feeds[batch_size], limits)


def turn(batch_size: int, limits: Limits) -> Turn:
    """Time the path for one turn."""
    path = _BENCH.path
    path.moments.clear()
    with collector_off():
        samples = time_calls(path.runner.run, _BENCH.feeds[batch_size], limits)
    return Turn(samples, phases_of(path.moments))


def peak_bytes(pid: int) -> int | None:
    """The most memory a process has held, 0 being this one; None where the system does not say.

    VmHWM of proc(5): getrusage would start from the parent's size, which exec keeps.
    """
    try:
        lines = Path(f"/proc/{pid or 'self'}/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), None)
