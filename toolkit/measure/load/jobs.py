"""What a worker is told to do: where requests go, what they hold, and when each is due. Plain data; it is pickled."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from toolkit.measure.load.arrivals import Moments
from toolkit.wire.messages import Endpoint

# Choices of a closed loop, whose length nobody knows before, come round again after so many.
_CYCLE = 1 << 14


@dataclass(frozen=True)
class Route:
    """Where the requests of one stream go, and their bodies, ready to send.

    Args:
        path: gRPC's method, or REST's path.
    """

    endpoint: Endpoint
    path: str
    bodies: tuple[bytes, ...]


@dataclass(frozen=True, eq=False)
class Choices:
    """Which stream and which of its payloads each request is; comes round again where there are more requests."""

    stream: npt.NDArray[np.int64]
    payload: npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Job:
    """One worker's part of a load.

    Args:
        tape: the file it writes to.
        room: the most requests that it may write down.
        due_ns: since the start; None for callers that each wait for an answer and ask again.
        callers: how many of those.
        seconds: how long callers go on asking.
        timeout_s: how long an answer may take.
        connections: to each endpoint; REST opens them as they are needed, up to so many.
        most_in_flight: requests that may wait for answers at a time; what is due beyond is sent late.
    """

    routes: tuple[Route, ...]
    choices: Choices
    tape: Path
    room: int
    seconds: float
    due_ns: Moments | None = None
    callers: int = 0
    timeout_s: float = 10.0
    connections: int = 1
    most_in_flight: int = 4096


def choose(weights: Sequence[float], payloads: Sequence[int], count: int | None, seed: int) -> Choices:
    """Streams by weight and payloads evenly, from a seed.

    Args:
        weights: of each stream, in any unit.
        payloads: how many payloads each stream has.
        count: requests; None for a loop whose length nobody knows.
        seed: the same seed gives the same choices.
    """
    size = _CYCLE if count is None else max(count, 1)
    random = np.random.default_rng([seed, 1])  # apart from the numbers that arrivals are drawn from
    shares = np.asarray(weights, dtype=np.float64)
    streams = random.choice(len(shares), size, p=shares / shares.sum())
    picks = (random.random(size) * np.asarray(payloads)[streams]).astype(np.int64)
    return Choices(streams.astype(np.int64), picks)
