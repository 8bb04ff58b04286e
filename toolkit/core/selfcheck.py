"""Asks on a thread of its own whether something works here, so that what never ends is an answer, too."""

import queue
import threading
from collections.abc import Callable

Say = Callable[[str | None], None]


def fault_in_time(check: Callable[[Say], None], limit_s: float, name: str) -> str | None:
    """What a check finds wrong; None where it finds nothing.

    Args:
        check: says what is wrong, or None; it may go on after that.
        limit_s: seconds to wait for it; what does not end by then does not work.
        name: what its thread is called.
    """
    faults: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def run() -> None:
        try:
            check(faults.put)
        except Exception as error:  # noqa: BLE001  # whatever another version of a library does differently
            faults.put(f"{type(error).__name__}: {error}")

    threading.Thread(target=run, name=name, daemon=True).start()
    try:
        return faults.get(timeout=limit_s)
    except queue.Empty:
        return f"no answer in {limit_s:.0f} s"
