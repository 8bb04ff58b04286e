"""TensorFlow Serving's flags before models that multiply: a server that starts without TensorFlow, faulty if wanted.

`server.py [--fault=NAME[@VERSION]]... [--supervised] FLAGS`; a fault counts for one version or for all. Supervised, it
starts again when it dies.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tests.deploying.bundles import FACTOR, OF_WORDS, SIGNATURE, WORDS
from toolkit.core.tensors import Feed, Outputs
from toolkit.errors import Fault, ServingError
from toolkit.serving.flags import FLAGS, Kind
from toolkit.serving.host import Host
from toolkit.serving.servables import Able
from toolkit.serving.settings import settings_of
from toolkit.wire.settings import BatchingParameters
from toolkit.wire.signatures import ServedSignature, write_signature

POLL_S = 0.05
SLOW_S = 0.03
COLD_S = 0.5
FAT_BYTES = 300_000_000


@dataclass(eq=False)
class Times:
    """Multiplies, and after `dies_after` answers ends the process."""

    factor: float
    wait_s: float = 0.0
    first_wait_s: float = 0.0
    dies_after: int | None = None
    ballast: bytes = b""
    artifact: str = "times"
    batching: BatchingParameters | None = None
    rows_alone: Container[str] = ()
    signatures: Mapping[str, ServedSignature] = field(
        default_factory=lambda: {"serving_default": write_signature("serving_default", SIGNATURE)}
    )

    def able(self, signature: str, feed: Feed) -> Sequence[Able]:
        return (Able(self.artifact, partial(self.run, signature)),)

    def run(self, signature: str, feed: Feed) -> Outputs:
        time.sleep(self.wait_s + self.first_wait_s)
        self.first_wait_s = 0.0
        if self.dies_after is not None:
            if not self.dies_after:
                os._exit(3)
            self.dies_after -= 1
        return {"y": feed["x"] * np.float32(self.factor)}

    def close(self) -> None:
        pass


@dataclass(eq=False)
class Words(Times):
    """Turns words around; a wrong one leaves them as they are."""

    factor: float = 0.0
    signatures: Mapping[str, ServedSignature] = field(
        default_factory=lambda: {"serving_default": write_signature("serving_default", OF_WORDS)}
    )

    def run(self, signature: str, feed: Feed) -> Outputs:
        step = 1 if self.factor else -1
        return {"turned": np.array([bytes(word)[::step] for word in feed["word"]], object)}


@dataclass
class TimesLoader:
    """Loads them; `faults` are `NAME` or `NAME@VERSION`."""

    faults: Sequence[str] = ()
    loading: threading.Event = field(default_factory=threading.Event)

    def __call__(self, name: str, version: int, directory: Path) -> Times:
        chosen = {fault.partition("@")[0] for fault in self.faults if fault.partition("@")[2] in ("", str(version))}
        if (directory / WORDS).is_file():
            model: Times = Words()
        elif (directory / FACTOR).is_file():
            model = Times(float((directory / FACTOR).read_text()))
        else:
            raise ServingError("there is no model in it", fault=Fault.NOT_FOUND)
        for fault in chosen:
            _FAULTS[fault](model, self)
        return model


def _broken(_: Times, __: TimesLoader) -> None:
    raise ServingError("an op is not known here", fault=Fault.NOT_FOUND)


def _hangs(_: Times, loader: TimesLoader) -> None:
    loader.loading.wait()


def _dies(_: Times, __: TimesLoader) -> None:
    os._exit(3)


def _set(name: str, value: Any) -> Callable[[Times, TimesLoader], None]:
    return lambda model, _: setattr(model, name, value(model))


_FAULTS: Mapping[str, Callable[[Times, TimesLoader], None]] = {
    "broken": _broken,
    "hangs": _hangs,
    "dies": _dies,
    "dies-later": _set("dies_after", lambda _: 3),
    "wrong": _set("factor", lambda model: model.factor + 1.0),
    "cold": _set("first_wait_s", lambda _: COLD_S),
    "late": _set("wait_s", lambda _: SLOW_S),
    "fat": _set("ballast", lambda _: os.urandom(1) * FAT_BYTES),
}


@contextmanager
def serving(loader: TimesLoader, **flags: Any) -> Iterator[Host]:
    """A server in this process, which looks at the disk often."""
    values = {"port": 0, "rest_api_port": 0, "file_system_poll_wait_seconds": POLL_S, "max_num_load_retries": 0}
    settings = settings_of(values | flags)
    with Host(replace(settings, loader=loader)) as host:
        try:
            yield host
        finally:
            loader.loading.set()


def main(arguments: Sequence[str]) -> None:
    kinds = {flag.name: flag.kind for flag in FLAGS}
    faults, flags = [], {}
    for argument in arguments:
        name, _, value = argument.removeprefix("--").partition("=")
        if name == "fault":
            faults.append(value)
        elif name == "supervised":
            _start_again()
        else:
            flags[name] = int(value) if kinds[name] is Kind.INT else value
    with serving(TimesLoader(faults), **flags):
        signal.pause()


def _start_again() -> None:
    """Returns in a child; the parent starts another one when that died."""
    while child := os.fork():
        os.waitpid(child, 0)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    main(sys.argv[1:])
