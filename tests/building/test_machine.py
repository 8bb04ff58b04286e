"""How much memory is free is read from what the system says of itself and of the container."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from toolkit.building.machine import available_bytes, toolchain

MEMINFO = "MemTotal:       1000 kB\nMemFree:         10 kB\nMemAvailable:    500 kB\nHugePages_Total:       0\n"
GROUP = "sys/fs/cgroup/memory"
FORMER = "sys/fs/cgroup/memory/memory"  # version 1


@pytest.mark.parametrize(
    ("files", "free"),
    [
        ({"proc/meminfo": MEMINFO}, 512_000),
        ({"proc/meminfo": MEMINFO, f"{GROUP}.max": "max\n", f"{GROUP}.current": "100\n"}, 512_000),
        ({"proc/meminfo": MEMINFO, f"{GROUP}.max": "1000\n", f"{GROUP}.current": "400\n"}, 600),
        (
            {
                "proc/meminfo": MEMINFO,
                f"{GROUP}.max": "1000\n",
                f"{GROUP}.current": "400\n",
                f"{GROUP}.stat": "anon 300\ninactive_file 50\n",
            },
            650,
        ),
        ({"proc/meminfo": MEMINFO, f"{GROUP}.max": "1000\n", f"{GROUP}.current": "4000\n"}, 0),
        ({"proc/meminfo": MEMINFO, f"{GROUP}.max": "9000000\n", f"{GROUP}.current": "0\n"}, 512_000),
        ({"proc/meminfo": MEMINFO, f"{FORMER}.limit_in_bytes": "800\n", f"{FORMER}.usage_in_bytes": "300\n"}, 500),
        ({"proc/meminfo": "MemTotal: 1000 kB\n"}, None),
        ({}, None),
    ],
)
def test_free_memory_is_the_least_that_machine_and_container_allow(
    files: Mapping[str, str], free: int | None, tmp_path: Path
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert available_bytes(tmp_path) == free


def test_this_machine_has_some_memory_and_tools() -> None:
    assert available_bytes() != 0
    assert {"python", "tensorflow", "numpy"} <= set(toolchain())
