"""A runner that knows where the time of its calls went."""

from array import array
from collections.abc import Mapping
from typing import Protocol, runtime_checkable


@runtime_checkable
class Phases(Protocol):
    """Besides running, gives the nanoseconds of each phase of every call since it was last asked."""

    def take_phases(self) -> Mapping[str, "array[int]"]:
        """Phase to one number a call."""
