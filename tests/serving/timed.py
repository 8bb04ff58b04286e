"""Artifacts of one model that take as long as a test says, on a clock of their own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from tests.serving.fakes import FakeServable
from toolkit.core.artifact import Behaviour, Manifest, Source
from toolkit.core.golden import Case
from toolkit.core.tensors import Feed, Outputs, Signature, TensorSpec
from toolkit.errors import Fault, RunError
from toolkit.serving.servables import Able
from toolkit.wire.signatures import write_signature

ROWS = Signature({"x": TensorSpec("float32", (None, 2))}, {"y": TensorSpec("float32", (None, 2))})


@dataclass
class Clock:
    """Seconds that pass while a fake runs."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass(eq=False)
class Timed(FakeServable):
    """Takes so long for one call and so long for each row."""

    path: Path = Path()
    clock: Clock = field(default_factory=Clock)
    call_s: float = 0.0
    row_s: float = 0.0
    runs: int = 0
    refuses: bool = False
    shared: bool = False

    def able(self, signature: str, feed: Feed) -> Sequence[Able]:
        return (Able(self.artifact, partial(self.run, signature), concurrent=self.shared),)

    def run(self, signature: str, feed: Feed) -> Outputs:
        if self.refuses:
            raise RunError("not this shape", fault=Fault.INVALID)
        self.runs += 1
        self.clock.now += self.call_s + self.row_s * len(feed["x"])
        return {"y": feed["x"]}


def manifest_of(signatures: Mapping[str, Behaviour]) -> Manifest:
    return Manifest("m", 1, "", {}, Source("m", ""), dict.fromkeys(signatures, ROWS), {}, (), dict(signatures))


def cases_of(signature: str, *rows: int) -> list[Case]:
    return [Case(signature, str(count), {"x": np.zeros((count, 2), np.float32)}) for count in rows]


def candidates_of(clock: Clock, costs: Mapping[str, tuple[float, float]], *signatures: str) -> dict[str, Timed]:
    """Each takes so long for a call and so long for each row."""
    served = {name: write_signature(name, ROWS) for name in signatures or ("s",)}
    return {
        name: Timed(artifact=name, signatures=served, clock=clock, call_s=call_s, row_s=row_s)
        for name, (call_s, row_s) in costs.items()
    }
