"""Builds small bundles in a process that a test can kill: `builder.py killed|often|holding FOLDER [MORE]`."""

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from toolkit.core import store

# All that changes what is on the disk, and fsync.
CALLS = ("open", "mkdir", "rename", "replace", "unlink", "rmdir", "chmod", "fsync")


def fill(stage: Path) -> None:
    (stage / "saved_model" / "variables").mkdir(parents=True)
    (stage / "saved_model" / "saved_model.pb").write_bytes(b"graph" * 1000)
    (stage / "saved_model" / "variables" / "variables.data").write_bytes(b"weights" * 1000)


def build(base: Path) -> Path:
    with store.staging(base) as stage:
        fill(stage)
        return store.publish(stage, base, finisher(stage))


def build_at(target: Path) -> Path:
    with store.staging_for(target) as stage:
        fill(stage)
        return store.publish_at(stage, target, finisher(stage))


def finisher(stage: Path) -> Callable[[int], None]:
    def finish(version: int) -> None:
        (stage / store.MANIFEST).write_text("{}")

    return finish


def killed(folder: Path, how: str, moment: str) -> None:
    """One build each in folder/1, folder/2 …, the n-th killed at its n-th call, until one comes to its end."""
    number, status = 0, -1
    while status:
        number += 1
        child = os.fork()
        if not child:
            base = folder / str(number) / "model"
            base.parent.mkdir()
            die_at(number, moment)
            build(base) if how == "publish" else build_at(base)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert status in (0, signal.SIGKILL), status
    sys.stdout.write(f"{number}\n")


def die_at(number: int, moment: str) -> None:
    count = 0

    def counting(call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*given: Any, **named: Any) -> Any:
            nonlocal count
            count += 1
            if count == number and moment == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            try:
                return call(*given, **named)
            finally:
                if count == number:
                    os.kill(os.getpid(), signal.SIGKILL)

        return counted

    for name in CALLS:
        setattr(os, name, counting(getattr(os, name)))


def often(folder: Path, rounds: str) -> None:
    """Publishes, and now and then gives up, as fast as it can."""
    for number in range(int(rounds)):
        with suppress(KeyError), store.staging(folder) as stage:
            fill(stage)
            if number % 3 == 2:
                raise KeyError
            sys.stdout.write(f"{store.publish(stage, folder, finisher(stage)).name}\n")


def holding(folder: Path) -> None:
    """Has a stage until its standard input ends."""
    with store.staging(folder) as stage:
        fill(stage)
        sys.stdout.write(f"{stage}\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    verbs: dict[str, Callable[..., None]] = {"killed": killed, "often": often, "holding": holding}
    verbs[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])
