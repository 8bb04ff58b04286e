"""A caller that may go before its answer is there, and whoever waits on its behalf."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(eq=False, slots=True)
class Caller:
    """Somebody who waits for an answer.

    Args:
        gone: whether it waits no longer.
        wake: told so, by any thread; who waits on the caller's behalf sets it, and only then looks whether it is gone.
    """

    gone: bool = False
    wake: Callable[[], None] = lambda: None

    def leave(self) -> None:
        """It has its answer, or has gone without."""
        self.gone = True
        self.wake()
