"""Keeps the state of a file that takes and gives it: what a call gave, the next one takes."""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Call = Callable[[Sequence[str], Mapping[str, Any]], Sequence[Any]]


def carried(call: Call, pairs: Mapping[str, str]) -> Call:
    """A call that feeds itself the state, one call after the other.

    Args:
        call: (names of outputs, feed) -> outputs; it starts from its own values where it is fed none.
        pairs: input to the output that holds its next value.
    """
    held: dict[str, Any] = {}
    lock = threading.Lock()

    def run(names: Sequence[str], feed: Mapping[str, Any]) -> Sequence[Any]:
        with lock:
            found = call([*names, *pairs.values()], {**feed, **held})
            held.update(zip(pairs, found[len(names) :], strict=True))
        return found[: len(names)]

    return run
