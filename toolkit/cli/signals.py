"""SIGTERM and Ctrl-C, for a verb that runs until it is told to end."""

import os
import signal
import sys
import time
from types import FrameType

from toolkit.errors import ExitCode

# `timeout` and shells that pass signals on send the same one twice at a time: that is one wish, not two.
_ONE_WISH_S = 0.5
_SAID = b"ended at once: a second signal came before the end was reached\n"


class Ended(KeyboardInterrupt):
    """The process was asked to end.

    As a kind of KeyboardInterrupt it ends what waits and what builds, child processes included, as Ctrl-C always did.
    """

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(number.name)
        self.number = number


def end_on_signals() -> None:
    """From now on SIGTERM and Ctrl-C raise Ended in the main thread, whatever it does; a later one ends the process.

    An event that a handler sets would be seen only by who waits for it: not by a build, and not by a model that loads.
    """
    first_s: float | None = None

    def handle(number: int, _: FrameType | None) -> None:
        nonlocal first_s
        now_s = time.monotonic()
        if first_s is None:
            first_s = now_s
            raise Ended(signal.Signals(number))
        if now_s - first_s >= _ONE_WISH_S:
            os.write(sys.stderr.fileno(), _SAID)  # a handler may come in the midst of a write through the stream
            os._exit(ExitCode.INTERRUPTED)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)
