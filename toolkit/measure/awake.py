"""Keeps idle cores awake while calls are timed, so that waking one is no part of some calls and none of others.

A call that hands work to another thread wakes a core where that thread had gone to sleep. How long that takes depends
on how deep the core sleeps, which the system decides anew all the time from how busy it was. On a virtual machine a
halt goes to the host: calls of the MLP's graph took 200 to 300 us, of its frozen graph 163, in place of 134 and 55.
"""

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

AWAKE, ASLEEP = "kept awake", "may sleep"
# Linux, "PM Quality of Service": the latency in us that holds while the file is open; 0 lets an idle core only poll.
_LATENCY = Path("/dev/cpu_dma_latency")


@contextmanager
def cores_awake(latency: Path = _LATENCY) -> Iterator[str]:
    """What idle cores do inside: `kept awake` where this process may ask for that, else `may sleep`."""
    try:
        file = os.open(latency, os.O_WRONLY)
    except OSError:  # not Linux, or not the right to ask: said in the report, since times are not comparable
        yield ASLEEP
        return
    try:
        os.write(file, struct.pack("i", 0))
        yield AWAKE
    finally:
        os.close(file)
