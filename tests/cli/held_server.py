"""`tfx-export serve` whose model a test holds: it says on stderr where it is, and answers when a line comes on stdin.

The first word says how its model loads (LOADS); the others are the command's.
"""

import functools
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.serving.running import HeldModel
from toolkit.cli import main
from toolkit.errors import Fault, ServingError
from toolkit.serving import settings
from toolkit.serving.host import Host
from toolkit.serving.library import Library


def say(word: str) -> None:
    """A line on stderr, at once and whole."""
    sys.stderr.write(f"{word}\n")
    sys.stderr.flush()


class Held(HeldModel):
    """Says when a request has come in."""

    def run(self, signature: str, feed: Any) -> Any:
        """Waits for the line."""
        say("inside")
        self.gate.wait()
        return super().run(signature, feed)


def held(*_: object) -> HeldModel:
    """Loads at once; all that is asked waits for a line on stdin."""
    model = Held()

    def wait() -> None:
        sys.stdin.readline()
        model.gate.set()

    threading.Thread(target=wait, daemon=True).start()
    return model


def hangs(*_: object) -> HeldModel:
    """Never loads."""
    say("loading")
    threading.Event().wait()
    raise AssertionError


def fails(*_: object) -> HeldModel:
    """Does not load this time."""
    raise ServingError("not yet", fault=Fault.UNAVAILABLE)


LOADS: dict[str, Callable[[str, int, Path], HeldModel]] = {"held": held, "hangs": hangs, "fails": fails}


def told(kind: type, name: str, word: str) -> None:
    """Says a word whenever a method is called."""
    method = getattr(kind, name)

    @functools.wraps(method)
    def call(*args: Any, **options: Any) -> Any:
        say(word)
        return method(*args, **options)

    setattr(kind, name, call)


if __name__ == "__main__":
    settings._loader = lambda _: LOADS[sys.argv[1]]  # type: ignore[assignment,return-value]  # a Load like any other
    told(Host, "stop", "draining")
    told(Library, "wait_until_settled", "waiting")
    main.main(["serve", *sys.argv[2:]])
