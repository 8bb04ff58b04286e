"""Idle cores are kept awake for as long as something is measured, and a report says whether they were."""

import os
import struct
from pathlib import Path

from toolkit.measure.awake import ASLEEP, AWAKE, cores_awake
from toolkit.measure.machine import unlike


def test_a_latency_of_zero_is_asked_for_as_long_as_it_lasts(tmp_path: Path) -> None:
    latency = tmp_path / "cpu_dma_latency"
    latency.touch()
    with cores_awake(latency) as idle:
        assert idle == AWAKE
        assert struct.unpack("i", latency.read_bytes()) == (0,)
        assert _open_here(latency), "the kernel forgets it when the file is closed"
    assert not _open_here(latency)


def test_where_it_may_not_be_asked_for_the_report_says_so(tmp_path: Path) -> None:
    with cores_awake(tmp_path / "absent" / "cpu_dma_latency") as idle:
        assert idle == ASLEEP


def test_times_with_and_without_are_not_compared() -> None:
    assert unlike({"idle cores": AWAKE}, {"idle cores": ASLEEP}) == ["idle cores: kept awake and may sleep"]


def _open_here(file: Path) -> bool:
    return any(os.path.realpath(held) == str(file.resolve()) for held in Path("/proc/self/fd").iterdir())
