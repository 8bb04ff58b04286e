"""Waits for the next event of a queue: awake for a moment where the next one always comes soon, else asleep."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# To fall asleep and be woken costs a call that comes alone more than its answer; nobody is kept awake for longer.
AWAKE_NS = 150_000
_AT_ONCE = 0.0


@dataclass(slots=True)
class EagerPolling:
    """Polls a queue of events.

    It stays awake only while the last wait was a short one: a wait that was not leaves it asleep until one is again,
    so what an idle server spends on it is one moment after its last call.

    Args:
        poll: gives the next event; waits for so many seconds at most, or for ever.
        nothing: the type of the event that says that the time is over.
        clock: nanoseconds.
    """

    poll: Callable[..., Any]
    nothing: Any
    clock: Callable[[], int] = time.perf_counter_ns
    _soon: bool = False

    def wait(self) -> Any:
        """The next event."""
        started_ns = self.clock()
        if self._soon:
            while self.clock() - started_ns < AWAKE_NS:
                event = self.poll(_AT_ONCE)
                if event.completion_type != self.nothing:
                    return event
        event = self.poll()
        self._soon = self.clock() - started_ns < AWAKE_NS
        return event
