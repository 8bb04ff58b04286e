"""Jobs for a conversion child that do what converters do on bad days; each loads next to nothing."""

import ctypes
import os
import signal
import subprocess
import sys
import time

from toolkit.errors import UnsupportedError

WALL = b"a line of a wall of text\n" * 200_000  # 5 MB


def segfault() -> None:
    sys.stderr.write("I0000 00:00:17 cuda.cc:31] nothing to do with it\nabout to read nothing\n*** a banner\n")
    sys.stderr.flush()
    ctypes.string_at(0)


def abort() -> None:
    os.abort()


def leave(code: int) -> None:
    os._exit(code)


def leave_politely(code: int) -> None:
    sys.exit(code)


def sleep_for_ever() -> None:
    while True:
        signal.pause()


def hide() -> None:
    """Closes everything it has, the connection to its parent too, and stays."""
    os.closerange(0, 256)
    sleep_for_ever()


def talk() -> str:
    for descriptor in (1, 2):
        os.write(descriptor, WALL)
    return "done"


def talk_and_die() -> None:
    talk()
    leave(3)


def refuse() -> None:
    raise UnsupportedError("there is no such op", hint="choose another")


def fail() -> None:
    raise ZeroDivisionError("a line\nand another")


def give_what_cannot_be_sent() -> object:
    return lambda: None


def start_grandchild(new_session: bool) -> int:
    return subprocess.Popen(["sleep", "1000"], start_new_session=new_session).pid


_READY: list[bool] = []


def get_ready() -> None:
    _READY.append(True)


def is_ready() -> bool:
    return bool(_READY)


def wait_a_second() -> None:
    time.sleep(1)


def report_and_sleep(fifo: str) -> None:
    with open(fifo, "w") as file:  # noqa: PTH123  # light
        file.write(str(os.getpid()))
    sleep_for_ever()


def die_judging(*_: object) -> None:
    leave(3)
