"""Predicts of one form that wait together are one run of the model, and nobody notices but by the time."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.serving.fakes import BY_HAND, Disk, FakeLoader, FakeServable, serving
from tests.serving.running import SIGNATURES
from toolkit.core.tensors import Feed, Outputs
from toolkit.errors import Fault, RunError
from toolkit.serving.engine import DirectRuns, Engine
from toolkit.serving.metrics import Metrics
from toolkit.serving.rpc_calls import Asked, RpcAnswer, RpcCalls
from toolkit.serving.servables import Able
from toolkit.serving.timing import Timing
from toolkit.wire import rpc
from toolkit.wire.codes import Code
from toolkit.wire.messages import PredictRequest, Target

POISON = 13.0


@dataclass(eq=False)
class Doubling(FakeServable):
    """Doubles rows, remembers how many came at a time, and refuses a batch with poison in it."""

    concurrent: bool = True
    computes: bool = True
    rows: list[int] = field(default_factory=list)

    def able(self, signature: str, feed: Feed) -> Sequence[Able]:
        return (Able(self.artifact, partial(self.run, signature), self.computes, self.concurrent),)

    def run(self, signature: str, feed: Feed) -> Outputs:
        found = np.asarray(feed["x"])
        self.rows.append(len(found))
        if (found == POISON).any():
            raise RunError("poison", fault=Fault.INVALID)
        return {"y": found * np.float32(2)}


class _Loader(FakeLoader):
    """Loads one model."""

    def __init__(self, model: Doubling) -> None:
        super().__init__()
        self._model = model

    def __call__(self, name: str, version: int, directory: Path) -> FakeServable:
        return self._model


@dataclass
class Asking:
    """A model on disk, and what answers for it."""

    disk: Disk
    model: Doubling
    together: list[int] = field(default_factory=list)

    def __call__(self, *values: float, deadlines: Sequence[int | None] = (), rows: int = 1) -> list[RpcAnswer]:
        """Asks for rows of each value, all at the same time."""
        due = deadlines or [None] * len(values)
        with serving(_Loader(self.model), BY_HAND, self.disk.config("m")) as library:
            calls = RpcCalls(Engine(library, DirectRuns(), together=DirectRuns()), Metrics())
            for _ in range(2):  # the first time nothing is known of such calls
                asked = [self._asked(calls, value, by, rows) for value, by in zip(values, due, strict=True)]
                self.model.rows.clear()
                answers = calls.answer_together(asked)
                self.together = [one.together for one in asked]
            assert not library._models["m"].versions[1].leases
        return answers

    @staticmethod
    def _asked(calls: RpcCalls, value: float, deadline_ns: int | None, rows: int) -> Asked:
        feed: Feed = {"x": np.full((rows, 2), value, np.float32)}
        body = rpc.encode_predict_request(PredictRequest(Target("m"), feed))
        form = calls.reader.read(body)
        assert form is not None
        return Asked(form, body, Timing(deadline_ns=deadline_ns), 0)


def values_of(answers: Sequence[RpcAnswer]) -> list[float | None]:
    return [
        None if answer.status is not None else float(rpc.decode_predict_response(answer.body).outputs["y"][0, 1])
        for answer in answers
    ]


@pytest.fixture
def asking(tmp_path: Path) -> Asking:
    disk = Disk(tmp_path)
    disk.publish("m", 1)
    return Asking(disk, Doubling(tmp_path, signatures=SIGNATURES, rows_alone={"serving_default"}))


def test_a_call_that_fails_alone_says_why_and_gives_its_version_back(asking: Asking) -> None:
    (refused,) = asking(POISON)
    assert refused.status is not None
    assert refused.status.code is Code.INVALID_ARGUMENT
    assert "poison" in refused.status.details
    asking.model.signatures = {}
    (unknown,) = asking(1.0)
    assert unknown.status is not None
    assert asking.model.rows == []


def test_calls_that_differ_in_their_values_alone_are_one_run(asking: Asking) -> None:
    answers = asking(1.0, 2.0, 3.0)
    assert asking.model.rows == [3]
    assert asking.together == [3, 3, 3]  # by which each one's share of the time is known
    assert values_of(answers) == [2.0, 4.0, 6.0]
    for answer in answers:
        times = dict(answer.metadata)
        assert times["tfx-artifact"] == "fake"
        assert int(times["tfx-compute-ns"]) > 0


def test_one_call_is_run_as_it_is(asking: Asking) -> None:
    assert values_of(asking(1.0)) == [2.0]
    assert asking.model.rows == [1]


def test_one_that_fails_fails_alone(asking: Asking) -> None:
    answers = asking(1.0, POISON, 3.0)
    assert asking.model.rows == [3, 1, 1, 1]
    assert asking.together == [1, 1, 1]
    assert values_of(answers) == [2.0, None, 6.0]
    assert answers[1].status is not None
    assert "poison" in answers[1].status.details


def test_a_call_in_a_hurry_waits_for_no_other(asking: Asking) -> None:
    assert values_of(asking(1.0, 2.0, 3.0, deadlines=[None, 1, None])) == [2.0, 4.0, 6.0]
    assert asking.model.rows == [1, 2], "it ran first, and alone"


@pytest.mark.parametrize(("rows", "ran"), [(16, [16, 32]), (17, [17, 17, 17])])
def test_no_run_has_more_rows_than_were_proven(asking: Asking, rows: int, ran: list[int]) -> None:
    assert values_of(asking(1.0, 2.0, 3.0, rows=rows)) == [2.0, 4.0, 6.0]
    assert asking.model.rows == ran


@pytest.mark.parametrize("reason", ["rows not proven to stand alone", "a runner that is lent", "a SavedModel"])
def test_what_gains_nothing_or_is_not_proven_runs_by_itself(asking: Asking, reason: str) -> None:
    if reason.startswith("rows"):
        asking.model.rows_alone = ()
    elif reason == "a SavedModel":
        asking.model.computes = False
    else:
        asking.model.concurrent = False
    assert values_of(asking(1.0, 2.0)) == [2.0, 4.0]
    assert asking.model.rows == [1, 1]
