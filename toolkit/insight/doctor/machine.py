"""Says of this machine what a measurement depends on, and whether one would mean anything just now."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from toolkit.building.machine import available_bytes
from toolkit.insight.doctor.check import Check, State

AREA = "machine"
# From here on what else runs is part of every figure.
_BUSY_SHARE = 0.25
_STOLEN_SHARE = 0.01
# What a build with its conversion child takes before it holds a model (docs/performance.md).
_MEMORY_BYTES = 4_000_000_000
_STEADY = frozenset({"performance", "userspace"})


def machine_checks(root: Path = Path("/"), cores: int | None = None) -> Iterator[Check]:
    """Cores, governor, load, memory, and what it is virtualised by.

    Args:
        root: where /proc and /sys are.
        cores: those that this process may use; None asks the system.
    """
    usable = cores or _usable_cores()
    yield _cores(root, usable)
    yield _governor(root)
    yield _load(root, usable)
    yield _memory(root)
    yield _virtualised(root)


def unfit(checks: list[Check]) -> list[Check]:
    """Why figures measured here and now would be poor."""
    return [check for check in checks if check.area == AREA and check.state is State.WARNING]


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cores(root: Path, cores: int) -> Check:
    # cgroups(7), version 2: the time it may take in a period, or "max".
    quota, _, period = _read(root / "sys/fs/cgroup/cpu.max").partition(" ")
    allowed = int(quota) / int(period) if quota.isdigit() and period.isdigit() and int(period) else None
    if allowed is not None and allowed < cores:
        text = f"{cores} cores, of which the container may use the time of {allowed:g}"
        return Check(
            AREA, "cores", State.WARNING, text, "raise its CPU limit: it is stopped whenever it has used it up"
        )
    return Check(AREA, "cores", State.OK, f"{cores} cores")


def _governor(root: Path) -> Check:
    found = _read(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    if not found:
        return Check(
            AREA, "governor", State.NOTE, "the governor is not to be seen here", "on a virtual machine, the host's"
        )
    if found in _STEADY:
        return Check(AREA, "governor", State.OK, f"governor {found}")
    return Check(
        AREA, "governor", State.WARNING, f"governor {found}: the clock follows the load",
        "cpupower frequency-set -g performance",
    )  # fmt: skip


def _load(root: Path, cores: int) -> Check:
    said = _read(root / "proc/loadavg").split()
    if not said:
        return Check(AREA, "load", State.NOTE, "the load is not to be seen here")
    load = float(said[0])
    text = f"load {load:.2f} on {cores} cores over the last minute"
    if load > _BUSY_SHARE * cores:
        return Check(AREA, "load", State.WARNING, text, "measure when nothing else runs")
    return Check(AREA, "load", State.OK, text)


def _memory(root: Path) -> Check:
    free = available_bytes(root)
    if free is None:
        return Check(AREA, "memory", State.NOTE, "free memory is not to be seen here")
    text = f"{free / 1e9:.1f} GB of memory to be had"
    if free < _MEMORY_BYTES:
        return Check(AREA, "memory", State.WARNING, text, "a build of a small model wants 4 GB: end what else runs")
    return Check(AREA, "memory", State.OK, text)


def _virtualised(root: Path) -> Check:
    flags = next((line for line in _read(root / "proc/cpuinfo").splitlines() if line.startswith("flags")), "")
    container = (root / ".dockerenv").exists() or (root / "run/.containerenv").exists()
    seen = [name for name, yes in (("a virtual machine", "hypervisor" in flags), ("a container", container)) if yes]
    text = f"in {' and in '.join(seen)}" if seen else "no sign of a virtual machine or a container"
    stolen = _stolen(root)
    if stolen is not None and stolen > _STOLEN_SHARE:
        text += f"; the host took {stolen:.1%} of its time for others since the start"
        return Check(AREA, "virtualised", State.WARNING, text, "measure on a machine of its own")
    return Check(AREA, "virtualised", State.NOTE if seen else State.OK, text)


def _stolen(root: Path) -> float | None:
    """The share of CPU time that the host gave to others: proc_stat(5), the eighth figure."""
    first = next(iter(_read(root / "proc/stat").splitlines()), "")
    times = [int(word) for word in first.split()[1:9] if word.isdigit()]
    total = sum(times)
    return times[7] / total if len(times) == 8 and total else None


def _read(path: Path) -> str:
    with suppress(OSError):
        return path.read_text(encoding="utf-8", errors="replace").strip()
    return ""
