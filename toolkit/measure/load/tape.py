"""Where a worker writes down each request as it goes: columns in a file that the parent maps as well.

What was written is there whatever becomes of the worker, a live view reads it without asking, and a flag in its head
stops the worker. Every number is an int64; 0 is "not yet".
"""

import mmap
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from toolkit.serving.timing import PHASES

# Nanoseconds by the worker's clock: when a request was due, sent and over; how it ended (see outcomes.py); which stream
# and payload it was; and what the server told of its time.
COLUMNS = ("due", "sent", "done", "outcome", "stream", "payload", *PHASES)
_HEAD = 8
STOP, BEGUN, SCHEDULED, LOST = range(4)
_BYTES = 8


class Tape:
    """The columns of one worker, each with room for so many requests.

    Args:
        path: the file; made where it is not there.
        room: requests.
    """

    def __init__(self, path: Path, room: int) -> None:
        size = (_HEAD + room * len(COLUMNS)) * _BYTES
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.ftruncate(descriptor, size)  # sparse: what is never written takes no room
            self._map = mmap.mmap(descriptor, size)
        finally:
            os.close(descriptor)
        self.room = room
        self._all: memoryview = memoryview(self._map).cast("q")

    def column(self, name: str) -> memoryview:
        """A column, for a worker to write to: an item costs a third of what NumPy's does."""
        start = _HEAD + COLUMNS.index(name) * self.room
        return self._all[start : start + self.room]

    def array(self, name: str) -> npt.NDArray[np.int64]:
        """A column, for whoever reads."""
        return np.frombuffer(self.column(name), dtype=np.int64)

    def columns(self) -> dict[str, npt.NDArray[np.int64]]:
        """Copies of all columns, up to the last request that was scheduled."""
        count = self.scheduled
        return {name: self.array(name)[:count].copy() for name in COLUMNS}

    @property
    def head(self) -> memoryview:
        """The flags and counts in front."""
        return self._all[:_HEAD]

    @property
    def stopped(self) -> bool:
        """Whether somebody asked the worker to stop."""
        return bool(self._all[STOP])

    def stop(self) -> None:
        """Asks the worker to send no more."""
        self._all[STOP] = 1

    @property
    def scheduled(self) -> int:
        """How many requests were due so far."""
        return int(self._all[SCHEDULED])

    @property
    def lost(self) -> int:
        """How often a connection was lost and made again."""
        return int(self._all[LOST])


def merged(tapes: "list[dict[str, Any]]") -> dict[str, npt.NDArray[np.int64]]:
    """The columns of several workers as one, in the order in which requests were due."""
    joined = {name: np.concatenate([tape[name] for tape in tapes]) for name in COLUMNS}
    order = np.argsort(joined["due"], kind="stable")
    return {name: values[order] for name, values in joined.items()}
