"""What reads one format: found by its file, like every plug-in."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from toolkit.core.plugins import Registry
from toolkit.insight.bounds import Budget
from toolkit.insight.inspection import Inspection


@dataclass(frozen=True)
class Reader:
    """One format of artifacts.

    Args:
        name: as in a bundle's manifest.
        knows: whether a path is one of these, by its name and its first bytes.
        read: the facts; raises ParityError where it is damaged.
        example: what such a path looks like, for messages.
    """

    name: str
    knows: Callable[[Path], bool]
    read: Callable[[Path, Budget], Inspection]
    example: str


READERS: Registry[Reader] = Registry("toolkit.insight.readers", "READER", "tfx_export.readers")
