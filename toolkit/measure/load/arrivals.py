"""When requests are due: constant, Poisson or recorded arrivals, as nanoseconds since the start. Pure.

Sources: wrk2 (a constant rate, latency counted from when a request was due), MLPerf LoadGen's Server scenario
(exponential gaps from a seed), k6 (arrival rates that do not wait for answers).
"""

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from toolkit.core.files import storage_errors
from toolkit.errors import BenchError, nearest

Moments = npt.NDArray[np.int64]
TRACE = ".csv"
_NS = 1e9
# Gaps are drawn for a mean's worth of arrivals and this many standard deviations more, then cut at the end.
_SPARE = 8.0


@dataclass(frozen=True)
class Bounds:
    """How long load lasts: whichever of the two comes first.

    Args:
        seconds: from the first moment on.
        requests: at most so many; None has no such limit.
    """

    seconds: float
    requests: int | None = None

    def __post_init__(self) -> None:
        if self.seconds <= 0 or (self.requests is not None and self.requests < 1):
            raise BenchError("a load lasts longer than nothing", hint="--duration 10s, --requests 1000")


def arrivals(kind: str, rate: float, bounds: Bounds, seed: int) -> Moments:
    """Nanoseconds since the start at which each request is due, ascending.

    Args:
        kind: constant, poisson, or a file FILE.csv whose first column is seconds since its first row.
        rate: requests a second; a file has its own.
        bounds: the end.
        seed: the same seed gives the same moments.

    Raises:
        BenchError: there is no such kind, the rate asks nothing, or the file holds no moments.
    """
    if kind.endswith(TRACE):
        return _cut(_recorded(Path(kind)), bounds)
    if kind not in KINDS:
        raise BenchError(f"there is no arrival '{kind}'", hint=f"{nearest(kind, list(KINDS))}; or a FILE.csv")
    if not rate > 0:
        raise BenchError(f"--rate {rate:g} asks nothing", hint="give requests a second, above 0")
    return _cut(KINDS[kind](rate, bounds, seed), bounds)


def mean_rate(due: Moments) -> float:
    """Requests a second of a schedule; 0 of a single one."""
    return (len(due) - 1) / (float(due[-1] - due[0]) / _NS) if len(due) > 1 and due[-1] > due[0] else 0.0


def _constant(rate: float, bounds: Bounds, _: int) -> Moments:
    count = bounds.requests if bounds.requests is not None else int(np.ceil(rate * bounds.seconds))
    count = min(count, int(np.ceil(rate * bounds.seconds)))
    return (np.arange(max(count, 1)) * (_NS / rate)).astype(np.int64)


def _poisson(rate: float, bounds: Bounds, seed: int) -> Moments:
    expected = rate * bounds.seconds
    count = int(expected + _SPARE * np.sqrt(expected) + _SPARE)
    count = min(count, bounds.requests) if bounds.requests is not None else count
    gaps = np.random.default_rng(seed).exponential(_NS / rate, count)
    return np.cumsum(gaps).astype(np.int64)


KINDS: Mapping[str, Callable[[float, Bounds, int], Moments]] = MappingProxyType(
    {"constant": _constant, "poisson": _poisson}
)


def _recorded(file: Path) -> Moments:
    with storage_errors(file):
        text = file.read_text(encoding="utf-8")
    cells = [row[0].strip() for row in csv.reader(text.splitlines()) if row and row[0].strip()]
    if cells and not _number(cells[0]):
        cells = cells[1:]  # a heading
    wrong = next((cell for cell in cells if not _number(cell)), None)
    if wrong is not None or not cells:
        found = f"'{wrong:.40}' is no number" if wrong is not None else "it is empty"
        raise BenchError(f"{file} holds no moments: {found}", hint="the first column is seconds, one row a request")
    seconds = np.sort(np.array(cells, dtype=np.float64))
    return ((seconds - seconds[0]) * _NS).astype(np.int64)


def _number(cell: Any) -> bool:
    try:
        return bool(np.isfinite(float(cell)))
    except ValueError:
        return False


def _cut(due: Moments, bounds: Bounds) -> Moments:
    kept = due[due < bounds.seconds * _NS]
    return kept if bounds.requests is None else kept[: bounds.requests]
