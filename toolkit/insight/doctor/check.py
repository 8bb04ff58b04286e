"""One thing that was looked at, and how it stands."""

from dataclasses import dataclass
from enum import Enum


class State(Enum):
    """How a thing stands; only MISSING is a reason not to go on."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    ABSENT = "absent"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Args:
        area: machine, stack, formats, runtimes, servers, tools or server.
        name: what it is.
        state: how it stands; ABSENT is not there and not needed either.
        text: what was seen.
        hint: what to do about it.
    """

    area: str
    name: str
    state: State
    text: str
    hint: str = ""

    def to_json(self) -> dict[str, str]:
        """The same as a document."""
        return {
            "area": self.area,
            "name": self.name,
            "state": self.state.value,
            "text": self.text,
            "hint": self.hint,
        }
