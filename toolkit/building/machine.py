"""What this machine has free, and the versions of what makes artifacts."""

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

TOOLCHAIN = (
    *("tensorflow", "keras", "tf2onnx", "onnx", "onnxruntime", "ai-edge-litert", "numpy", "protobuf"),
    "tfx-export",
)


def available_bytes(root: Path = Path("/")) -> int | None:
    """Memory that can be had without swapping, by the machine and by the container; None where nothing says."""
    groups = root / "sys/fs/cgroup"
    found = [
        _of_machine(root / "proc/meminfo"),
        _of_container(groups, "memory.max", "memory.current", "inactive_file"),
        _of_container(groups / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ]
    return min((size for size in found if size is not None), default=None)


def _of_machine(meminfo: Path) -> int | None:
    sizes = _table(meminfo)
    return sizes["MemAvailable:"] * 1024 if "MemAvailable:" in sizes else None  # proc(5): in kB


def _of_container(group: Path, limit_name: str, used_name: str, droppable: str) -> int | None:
    """What the limit leaves; file pages that nobody uses can be dropped and count as free (cgroups(7))."""
    try:
        limit, used = (int((group / name).read_text()) for name in (limit_name, used_name))
    except (OSError, ValueError):  # no container of this version, or one whose limit is "max"
        return None
    return max(0, limit - used + _table(group / "memory.stat").get(droppable, 0))


def _table(path: Path) -> dict[str, int]:
    try:
        rows = [line.split() for line in path.read_text().splitlines()]
    except OSError:
        return {}
    return {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdigit()}


def toolchain() -> dict[str, str]:
    """Package to installed version, and Python's own; a package that is not installed is left out."""
    found = {"python": platform.python_version()}
    for name in TOOLCHAIN:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
