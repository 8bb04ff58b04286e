"""Runs what is compared in turn, each in a process of its own, so that a busy machine slows all sides alike."""

import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
_MODEL_NAME = "model name"


@dataclass(frozen=True)
class Ratio:
    """How one side stands to another: the median of the rounds' own ratios, and their range."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.values)

    def __str__(self) -> str:
        return f"{self.median:.2f} x ({min(self.values):.2f} to {max(self.values):.2f}, {len(self.values)} rounds)"


def ratio(candidate: Sequence[float], baseline: Sequence[float]) -> Ratio:
    """Candidate by baseline, each round for itself: what disturbed one side of a round mostly disturbed the other."""
    return Ratio(tuple(one / other for one, other in zip(candidate, baseline, strict=True)))


def interleaved(sides: Mapping[str, Sequence[str]], rounds: int) -> dict[str, list[dict[str, Any]]]:
    """The documents that each side printed, round by round; a side is the arguments of a Python process."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in sides}
    for at in range(rounds):
        # Forwards and backwards in turn, so that no side always follows the same other one.
        for name in list(sides)[:: 1 if at % 2 == 0 else -1]:
            found[name].append(document(sides[name]))
            print(f"round {at + 1} of {rounds}: {name}", file=sys.stderr)
    return found


def document(arguments: Sequence[str], wrapper: Sequence[str] = ()) -> dict[str, Any]:
    """The last line of a Python process's stdout, which is one JSON object."""
    done = python(arguments, wrapper)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(arguments)} ended with exit code {done.returncode}:\n{done.stderr[-4000:]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def python(arguments: Sequence[str], wrapper: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    """A finished process of this Python, which sees this checkout."""
    paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return subprocess.run(
        [*wrapper, sys.executable, *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": paths, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )


def machine() -> Iterator[str]:
    """What figures depend on, and how busy this machine is with other things."""
    names = [line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith(_MODEL_NAME)]
    memory = next((int(line.split()[1]) * 1024 for line in _lines("/proc/meminfo")), 0)
    yield f"{os.cpu_count()} cores, {names[0] if names else platform.processor()}, {memory / 1e9:.0f} GB"
    yield f"Python {platform.python_version()}, TensorFlow {version('tensorflow')}"
    yield f"load average {os.getloadavg()[0]:.1f}"


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def verdict(what: str, actual: float, limit: float, unit: str = "") -> bool:
    """Print whether a figure is within its limit; gives whether it is."""
    holds = actual <= limit
    print(f"{'holds' if holds else 'MISSED'}: {what} {actual:.2f}{unit}, limit {limit:g}{unit}")
    return holds
