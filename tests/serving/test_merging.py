"""Predicts that wait together are run as one batch where rows stand alone, and each is answered as if it were alone."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from tests.serving.fakes import BY_HAND
from tests.serving.running import HeldModel
from tests.serving.timed import ROWS, manifest_of
from toolkit.core.artifact import Artifact, Behaviour
from toolkit.core.parity import Parity
from toolkit.core.tensors import Feed, Outputs, TensorSpec
from toolkit.errors import Fault, ServingError
from toolkit.serving.engine import DirectRuns, Engine
from toolkit.serving.library import Library
from toolkit.serving.metrics import Metrics
from toolkit.serving.rest_calls import Asked, RestCalls
from toolkit.serving.rows import rows_alone
from toolkit.serving.timing import Timing
from toolkit.wire.messages import ModelConfig, Target
from toolkit.wire.rest import Answer, Call, RestCall

ALONE = ("serving_default",)
POISON = 13.0


@dataclass(eq=False)
class Rows(HeldModel):
    """Doubles; remembers how many rows it was given, and refuses one value."""

    seen: list[int] = field(default_factory=list)
    breaks: type[Exception] | None = None  # where it gets more than one row
    fixed: bool = False  # gives four rows whatever it gets

    def run(self, signature: str, feed: Feed) -> Outputs:
        x = np.asarray(feed["x"])
        self.seen.append(len(x))
        if self.breaks is not None and len(x) > 1:
            raise self.breaks("more than one row")
        if (x == POISON).any():
            raise ServingError("no thirteen", hint="take another", fault=Fault.INVALID)
        return {"y": np.resize(x, (4, 2)) * 2 if self.fixed else x * np.float32(2)}


@dataclass
class Served:
    """What answers, and the library under it."""

    calls: RestCalls
    library: Library
    model: Rows
    paths: dict[int | None, RestCall] = field(default_factory=dict)

    def ask(self, values: Sequence[float], rows: int = 1, left_s: float = 60.0, version: int | None = None) -> "Told":
        """One request for each value, all at once; the form is known before that."""
        call = self.paths.setdefault(version, RestCall(Call.PREDICT, Target("double", version)))
        self.calls.answer_together([asked(call, 1.0, rows, 60.0)])
        self.model.seen.clear()
        waiting = [asked(call, value, rows, left_s) for value in values]
        return Told(self.calls.answer_together(waiting), waiting)

    def count(self, status: str) -> float | None:
        """By the metrics page."""
        self.calls.metrics.page()
        labels = {"model_name": "double", "status": status}
        return self.calls.metrics.registry.get_sample_value(":tensorflow:serving:request_count", labels)


@dataclass
class Told:
    """Answers, and what was asked."""

    answers: Sequence[Answer]
    asked: Sequence[Asked]

    @property
    def values(self) -> list[float]:
        return [json.loads(answer.body)["predictions"][0][0] for answer in self.answers]


def asked(call: RestCall, value: float, rows: int, left_s: float) -> Asked:
    row = f"[{value},{value + 1}]"
    timing = Timing(deadline_ns=time.perf_counter_ns() + int(left_s * 1e9))
    return Asked(call, f'{{"instances":[{",".join([row] * rows)}]}}'.encode(), timing)


@pytest.fixture
def served(tmp_path: Path) -> Served:
    (tmp_path / "double" / "1").mkdir(parents=True)
    model = Rows(rows_alone=ALONE)
    library = Library(model, BY_HAND)
    library.start([ModelConfig("double", str(tmp_path / "double"))])
    library.wait_until_attempted(["double"], 20.0)
    engine = Engine(library, DirectRuns(), together=DirectRuns())
    return Served(RestCalls(engine, Metrics()), library, model)


def no_lease_is_left(served: Served) -> bool:
    return not served.library._models["double"].versions[1].leases


def test_what_differs_in_its_numbers_alone_is_one_run_and_each_gets_its_own_row(served: Served) -> None:
    told = served.ask([3.0, 5.0, 7.0, 9.0])
    assert told.values == [6.0, 10.0, 14.0, 18.0]
    assert served.model.seen == [4]
    assert {one.timing.artifact for one in told.asked} == {"held"}
    assert all(one.timing.parse_ns > 0 and one.timing.compute_ns > 0 < one.timing.encode_ns for one in told.asked)
    assert [one.together for one in told.asked] == [4] * 4
    assert served.count("OK") == 5
    assert no_lease_is_left(served)


def test_where_rows_may_depend_on_each_other_each_request_is_a_run(served: Served) -> None:
    served.model.rows_alone = ()
    assert served.ask([3.0, 5.0]).values == [6.0, 10.0]
    assert served.model.seen == [1, 1]


def test_where_batches_are_gathered_anyway_each_request_is_a_run(served: Served) -> None:
    engine = Engine(served.library, DirectRuns(), together=None)
    assert Served(RestCalls(engine, Metrics()), served.library, served.model).ask([3.0, 5.0]).values == [6.0, 10.0]
    assert served.model.seen == [1, 1]


@pytest.mark.parametrize("breaks", [ServingError, ZeroDivisionError])
def test_a_batch_that_fails_is_asked_one_by_one(breaks: type[Exception], served: Served) -> None:
    served.model.breaks = breaks
    assert served.ask([3.0, 5.0]).values == [6.0, 10.0]
    assert served.model.seen == [2, 1, 1]
    assert served.count("OK") == 3
    assert no_lease_is_left(served)


def test_who_made_a_batch_fail_is_told_so_and_the_others_are_answered(served: Served) -> None:
    told = served.ask([3.0, POISON, 5.0])
    assert [answer.status for answer in told.answers] == [200, 400, 200]
    assert json.loads(told.answers[1].body) == {"error": "no thirteen"}
    assert json.loads(told.answers[2].body) == {"predictions": [[10.0, 12.0]]}
    assert (served.count("OK"), served.count("INVALID_ARGUMENT")) == (3, 1)


def test_an_output_that_has_other_rows_is_nobodys(served: Served) -> None:
    served.model.fixed = True
    found = [json.loads(answer.body)["predictions"] for answer in served.ask([3.0, 5.0]).answers]
    assert found == [[[6.0, 8.0]] * 4, [[10.0, 12.0]] * 4]
    assert served.model.seen == [2, 1, 1]


def test_no_more_rows_run_together_than_were_proven(served: Served) -> None:
    values = [float(value) for value in range(20, 36)]
    assert served.ask(values, rows=7).values == [2 * value for value in values]
    assert served.model.seen == [28, 28, 28, 28]
    assert served.ask(values[:2], rows=33).values == [40.0, 42.0]
    assert served.model.seen == [33, 33]


def test_who_has_to_answer_soon_is_asked_alone(served: Served) -> None:
    assert served.ask([3.0, 5.0], left_s=0.005).values == [6.0, 10.0]
    assert served.model.seen == [1, 1]


def test_what_is_no_request_keeps_the_others_from_nothing(served: Served) -> None:
    served.ask([1.0])
    call = served.paths[None]
    wrong = (b"", b"{", b'{"instances":[[,2.0]]}', b'{"instances":[[1.0,1e999]]}', b'{"instances":[[1.0,]]}')
    waiting = [Asked(call, body, Timing()) for body in wrong]
    waiting[2:2] = [asked(call, 3.0, 1, 60.0), asked(call, 4.0, 1, 60.0)]
    answers = served.calls.answer_together(waiting)
    assert [answer.status for answer in answers] == [400, 400, 200, 200, 400, 400, 400]
    assert served.model.seen == [1, 2]


def test_a_list_with_nothing_in_it_has_the_form_of_one_with_a_number_and_is_not_taken_for_one(served: Served) -> None:
    call = RestCall(Call.PREDICT, Target("double"))
    bodies = [f'{{"instances":[{row}]}}'.encode() for row in ("[1.0]", "[]", "[2.0]", "[]", "[3.0]")]
    for _ in range(2):
        answers = served.calls.answer_together([Asked(call, body, Timing()) for body in bodies])
    found = [json.loads(answer.body)["predictions"] for answer in answers]
    assert found == [[[2.0]], [[]], [[4.0]], [[]], [[6.0]]]


def test_rows_are_proven_to_stand_alone_or_they_do_not() -> None:
    artifact = Artifact("a", "a", "", "a", {"s": "a/s"}, 0, "", {}, 0.0, Parity("pass"))
    proven = manifest_of({"s": Behaviour()})
    assert rows_alone(proven, artifact) == {"s"}
    for behaviour in (Behaviour(rows_independent=False), Behaviour(random=("y",))):
        assert not rows_alone(manifest_of({"s": behaviour}), artifact)
    assert not rows_alone(replace(proven, behaviour={}), artifact)
    assert not rows_alone(proven, replace(artifact, fixed_batch=1))
    one = TensorSpec("float32", (1, 2))
    assert not rows_alone(replace(proven, signatures={"s": replace(ROWS, inputs={"x": one})}), artifact)
    assert not rows_alone(replace(proven, signatures={"s": replace(ROWS, outputs={"y": one})}), artifact)
    any_length = TensorSpec("int64", (None,))
    ragged = replace(ROWS, inputs={"x_values": any_length, "x_row_splits": any_length})
    assert not rows_alone(replace(proven, signatures={"s": ragged}), artifact)
