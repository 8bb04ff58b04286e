"""What this machine has free, and the versions of what makes artifacts."""

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

TOOLCHAIN = (
    *("tensorflow", "keras", "tf2onnx", "onnx", "onnxruntime", "ai-edge-litert", "numpy", "protobuf"),
    "tfx-export",
)


def available_bytes() -> int | None:
    """Memory that can be had without swapping (MemAvailable of proc(5)); None where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)


def toolchain() -> dict[str, str]:
    """Package to installed version, and Python's own; a package that is not installed is left out."""
    found = {"python": platform.python_version()}
    for name in TOOLCHAIN:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
