"""What the real server finds first is what a request with two faults is answered for, batched or as one of several."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.serving.batch_fakes import HOUR, Recorder, batching, error_of, rows_of
from tests.serving.fakes import BY_HAND, Disk, FakeLoader, serving
from tests.wire.example_signatures import SIGNATURES
from toolkit.core.tensors import Outputs
from toolkit.errors import Fault, ServingError
from toolkit.serving.engine import DirectRuns, Engine, Runs
from toolkit.serving.timing import Timing
from toolkit.wire.messages import MultiRequest, PredictRequest, Target, Task
from toolkit.wire.signatures import CLASSIFY_METHOD, REGRESS_METHOD, ServedSignature

INTS = np.zeros(2, np.int32)


@contextmanager
def engine(tmp_path: Path, runs: Runs, signatures: Mapping[str, ServedSignature] = SIGNATURES) -> Iterator[Engine]:
    """An engine over one version of model m."""
    disk = Disk(tmp_path)
    if not disk.base("m").joinpath("1").is_dir():
        disk.publish("m", 1)
    with serving(FakeLoader(signatures=signatures), BY_HAND, disk.config("m")) as library:
        yield Engine(library, runs)


def refused(asked: Engine, signature: str, feed: Any, *outputs: str) -> str:
    with pytest.raises(ServingError) as caught:
        asked.predict(PredictRequest(Target("m", signature=signature), feed, outputs), Timing())
    return caught.value.message


@pytest.mark.parametrize(
    ("signature", "feed", "message"),
    [
        (
            "",
            {"a": np.zeros((), np.int32), "b": INTS},
            "Batching Run() input tensors must have at least one dimension",
        ),
        ("", {"a": INTS, "b": np.zeros(3)}, "Batching Run() input tensors must have equal 0th-dimension size"),
        ("", {"a": np.zeros(9), "b": np.zeros(9)}, "Task size 9 is larger than maximum input batch size 4"),
        ("other", {}, "Batching Run() must have at least one input tensor"),
        # What can be batched is then refused by the session.
        ("", {"a": INTS, "b": INTS}, "Expects arg[1] to be float but int32 is provided"),
    ],
)
def test_what_batching_refuses_is_told_before_dtypes_are_looked_at(
    signature: str, feed: Any, message: str, tmp_path: Path
) -> None:
    with batching() as callers, engine(tmp_path, callers.runs) as asked:
        assert refused(asked, signature, feed) == message


@pytest.mark.parametrize(
    ("feed", "message"),
    [
        ([1.0] * 5, "Task size 5 is larger than maximum input batch size 4"),
        (1.0, "Batching Run() input tensors must have at least one dimension"),
        (
            {"x": np.zeros(2), "z": np.zeros(3)},
            "Batching Run() input tensors must have equal 0th-dimension size",
        ),
        ({}, "Batching Run() must have at least one input tensor"),
    ],
)
def test_what_cannot_be_batched_is_refused_at_once(feed: Any, message: str) -> None:
    model = Recorder()
    with batching(batch_timeout_micros=HOUR) as callers:
        error = error_of(callers.ask(model, feed))
    assert (error.fault, error.message) == (Fault.INVALID, message)
    assert model.sizes == []


def test_a_part_of_the_outputs_is_not_batched_by_the_real_server_so_its_session_has_the_word(tmp_path: Path) -> None:
    scalar = {"a": np.zeros((), np.int32), "b": INTS}
    with batching() as callers, engine(tmp_path, callers.runs) as asked:
        assert refused(asked, "", scalar, "sum") == "Expects arg[1] to be float but int32 is provided"


def test_a_part_of_the_outputs_may_have_more_rows_than_a_batch() -> None:
    model = Recorder()
    with batching(batch_timeout_micros=HOUR) as callers:
        assert rows_of(callers.ask(model, [1.0] * 5, outputs=("y",))) == [2.0] * 5
    assert model.sizes == [5]


@dataclass
class Told:
    """Runs that keep the order of what ran, and answer what a test says."""

    answers: Mapping[str, Outputs | ServingError]
    ran: list[str] = field(default_factory=list)
    check: Any = DirectRuns().check

    def bind(self, lease: Any, plan: Any) -> Any:
        return lambda _, timing: self.run(lease, plan, timing)

    def run(self, _: Any, plan: Any, __: Timing) -> Outputs:
        self.ran.append(plan.signature.name)
        answer = self.answers[plan.signature.name]
        if isinstance(answer, ServingError):
            raise answer
        return answer


TASKS = (
    Task(Target("m", signature="classify"), CLASSIFY_METHOD),
    Task(Target("m", signature="regress"), REGRESS_METHOD),
)
NO_CLASSES = {"classes": np.zeros((1, 1), np.float32), "scores": np.zeros((1, 1), np.float32)}


def test_several_tasks_are_run_before_any_answer_is_looked_at(tmp_path: Path) -> None:
    broken = ServingError("the second one broke", fault=Fault.INVALID)
    runs = Told({"classify": NO_CLASSES, "regress": broken})
    with engine(tmp_path, runs) as asked, pytest.raises(ServingError, match="the second one broke"):
        asked.multi_inference(MultiRequest(TASKS, (b"example",)), Timing())
    assert runs.ran == ["classify", "regress"]
    runs = Told({"classify": NO_CLASSES, "regress": {"outputs": np.zeros(1, np.float32)}})
    with engine(tmp_path, runs) as asked, pytest.raises(ServingError, match="Expected classes Tensor of DT_STRING"):
        asked.multi_inference(MultiRequest(TASKS, (b"example",)), Timing())
    assert runs.ran == ["classify", "regress"]
