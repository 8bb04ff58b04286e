"""What one must know of a machine to believe its figures, and whether two machines may be compared."""

import os
import platform
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from toolkit.building.machine import toolchain

# Two reports that differ in one of these were not made on the same kind of machine.
IDENTITY = ("cpu", "cores", "architecture", "governor", "idle cores")
_FLAGS = ("TF_", "XLA_", "OMP_", "KMP_", "MKL_", "ORT_", "CUDA_VISIBLE")


def machine_facts() -> dict[str, Any]:
    """CPU, cores this process may use, governor, load, memory, kernel, versions, and settings of the environment."""
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "architecture": platform.machine(),
        "governor": _read(Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")) or "unknown",
        "load": [round(load, 2) for load in os.getloadavg()],
        "memory_bytes": _memory_bytes(),
        "system": f"{platform.system()} {platform.release()}",
        "versions": toolchain(),
        "flags": {name: value for name, value in sorted(os.environ.items()) if name.startswith(_FLAGS)},
        "collector": "off while calls are timed",
    }


def unlike(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """In what two machines differ so that their times say nothing about each other."""
    return [f"{name}: {one.get(name)} and {other.get(name)}" for name in IDENTITY if one.get(name) != other.get(name)]


def changed(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """What else differs between two reports of one machine: versions and settings."""
    found = []
    for part in ("versions", "flags"):
        first, second = one.get(part, {}), other.get(part, {})
        found += [
            f"{name} {first.get(name, 'absent')} -> {second.get(name, 'absent')}"
            for name in sorted({*first, *second})
            if first.get(name) != second.get(name)
        ]
    return found


def _cpu() -> str:
    lines = _read(Path("/proc/cpuinfo")).splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return model or platform.processor() or "unknown"


def _memory_bytes() -> int | None:
    lines = _read(Path("/proc/meminfo")).splitlines()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemTotal:")), None)


def _read(path: Path) -> str:
    with suppress(OSError):
        return path.read_text().strip()
    return ""
