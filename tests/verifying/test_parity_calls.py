"""What one call does not show: unsteady answers, rows that lean on their batch, state, randomness, refusals."""

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from itertools import count

import numpy as np
import pytest

from tests.verifying.fakes import (
    SIGNATURE,
    WANTED,
    changed,
    feed_of,
    problems,
    right,
    verdict,
)
from toolkit.core.artifact import Behaviour
from toolkit.core.golden import Case
from toolkit.core.runner import FunctionRunner, Runner
from toolkit.core.tensors import Array, Feed, Outputs, Signature, TensorSpec
from toolkit.errors import ParityError
from toolkit.verifying.parity import AGAIN, Expectation, batch_size, check_runner, chosen_rows


def test_an_answer_that_changes_between_two_runs_is_named_though_within_tolerance() -> None:
    calls = count()

    def run(feed: Feed) -> Outputs:
        return changed(feed, double=right(feed)["double"] + np.float32(1e-7) * (next(calls) % 2))

    assert "output 'double' changes between two runs of the same feed" in problems(verdict(run))


def test_an_output_that_is_there_only_once_is_named() -> None:
    calls = count()
    found = verdict(lambda feed: right(feed) if next(calls) % 2 == 0 else {"sum": right(feed)["sum"]})
    assert "output 'double' changes between two runs of the same feed" in problems(found)


def on_the_batch(feed: Feed) -> Outputs:
    """Right for the recorded batches, wrong for any other: what a fixed buffer or a batch statistic does."""
    known = [case for case in WANTED.cases if np.array_equal(case.feed["x"], feed["x"])]
    return right(feed) if known else changed(feed, double=right(feed)["double"] + 1)


def test_a_row_that_depends_on_its_batch_is_named() -> None:
    found = verdict(on_the_batch)
    assert re.match(r"row 0 of batch7 asked alone: output 'double' at \[0, \d\]: expected", problems(found)[0])


def test_a_row_may_depend_on_its_batch_where_eagers_do() -> None:
    assert verdict(on_the_batch, replace(WANTED, behaviour=Behaviour(rows_independent=False))).passed


@pytest.mark.parametrize(
    ("sizes", "rows"),
    [({"x": 7, "double": 7}, [0, 3, 6]), ({"x": 2, "double": 2}, [0, 1]), ({"x": 1, "double": 1}, [])],
)
def test_the_first_a_middle_and_the_last_row_are_asked_alone(sizes: dict[str, int], rows: list[int]) -> None:
    case = Case("s", "c", feed_of(sizes["x"]), {"double": np.zeros((sizes["double"], 2))})
    assert list(chosen_rows(SIGNATURE, case, ["double"])) == rows


@pytest.mark.parametrize("output", [np.zeros(()), np.zeros((3, 2))])
def test_no_row_is_asked_alone_where_an_output_has_no_row_for_each(output: Array) -> None:
    assert list(chosen_rows(SIGNATURE, Case("s", "c", feed_of(7), {"double": output}), ["double"])) == []


def test_no_row_is_asked_alone_where_inputs_count_differently() -> None:
    signature = Signature({"values": TensorSpec("float32", (None,)), "row_splits": TensorSpec("int64", (None,))})
    case = Case("s", "c", {"values": np.zeros(5), "row_splits": np.arange(4)}, {"sum": np.zeros(5)})
    assert list(chosen_rows(signature, case, ["sum"])) == []


RAGGED = Signature({"x_values": TensorSpec("float32", (None,)), "x_row_splits": TensorSpec("int64", (None,))})
SPARSE = Signature(
    {
        "x_indices": TensorSpec("int64", (None, 2)),
        "x_values": TensorSpec("float32", (None,)),
        "x_dense_shape": TensorSpec("int64", (2,)),
    }
)


@pytest.mark.parametrize(
    ("signature", "feed", "rows"),
    [
        (SIGNATURE, feed_of(7), 7),
        (RAGGED, {"x_values": np.zeros(3), "x_row_splits": np.array([0, 1, 3])}, 2),
        (SPARSE, {"x_indices": np.zeros((9, 2)), "x_values": np.zeros(9), "x_dense_shape": np.array([4, 8])}, 4),
        (Signature({"x": TensorSpec("float32", (3, 2))}), {"x": np.zeros((3, 2))}, None),
    ],
)
def test_the_rows_of_a_feed(signature: Signature, feed: dict[str, Array], rows: int | None) -> None:
    assert batch_size(signature, feed) == rows


def test_no_row_of_a_ragged_or_sparse_tensor_is_asked_alone_even_where_its_parts_are_as_long_as_the_output() -> None:
    feed = {"x_values": np.zeros(3), "x_row_splits": np.array([0, 1, 3])}
    assert list(chosen_rows(RAGGED, Case("s", "c", feed, {"y": np.zeros(3)}), ["y"])) == []
    outputs = {"y_values": np.zeros(7), "y_row_splits": np.zeros(7)}
    assert list(chosen_rows(SIGNATURE, Case("s", "c", feed_of(7), outputs), list(outputs))) == []


@dataclass
class Counter:
    """A stateful model: each call answers one more. Opened anew it starts anew, unless it shares its start."""

    step: int = 1
    start: int = 0
    opened: int = field(default=0)

    @contextmanager
    def open(self) -> Iterator[Runner]:
        self.opened += 1
        state = count(self.start + self.step, self.step)
        yield FunctionRunner("fake", STATEFUL, lambda feed: {"total": feed["x"] + next(state)})


STATEFUL = Signature({"x": TensorSpec("int64", ())}, {"total": TensorSpec("int64", ())})


def stateful() -> Expectation:
    feeds = [np.int64(0), np.int64(10)]
    cases = []
    for at, value in enumerate(feeds):
        one, two = ({"total": np.asarray(value + calls)} for calls in (1, 2))
        cases.append(Case("serving_default", f"sample{at}", {"x": np.asarray(value)}, one))
        cases.append(Case("serving_default", f"sample{at}{AGAIN}", {"x": np.asarray(value)}, two))
    return Expectation("serving_default", STATEFUL, cases, Behaviour(stateful=True, rows_independent=False))


def test_a_stateful_model_is_asked_twice_and_opened_anew_for_every_question() -> None:
    counter = Counter()
    assert check_runner("fake", counter.open, stateful()).passed
    assert counter.opened == 2


@pytest.mark.parametrize(
    ("counter", "problem"),
    [
        (Counter(step=0, start=1), "sample0.again: output 'total' at []: expected 2, actual 1"),
        (Counter(start=5), "sample0: output 'total' at []: expected 1, actual 6"),
    ],
)
def test_state_that_is_lost_or_starts_elsewhere_is_named(counter: Counter, problem: str) -> None:
    assert problems(check_runner("fake", counter.open, stateful())) == [problem]


def test_a_random_output_is_left_out_and_the_others_are_not() -> None:
    generator = np.random.default_rng()
    wanted = replace(WANTED, behaviour=Behaviour(random=("double",)))

    def run(feed: Feed) -> Outputs:
        return changed(feed, double=generator.normal(size=feed["x"].shape))

    found = verdict(run, wanted)
    assert found.passed
    assert list(found.outputs) == ["sum"]
    assert not verdict(lambda feed: changed(feed, sum=right(feed)["sum"] + 1), wanted).passed


def test_what_a_runtime_raises_is_the_problem_of_the_check() -> None:
    def run(_: Feed) -> Outputs:
        raise ParityError("LiteRT cannot run model.tflite: out of range", hint="build the bundle again")

    def refused() -> AbstractContextManager[Runner]:
        raise ParityError("the file does not open", hint="build the bundle again")

    assert problems(verdict(run)) == ["LiteRT cannot run model.tflite: out of range"]
    assert problems(check_runner("fake", refused, WANTED)) == ["the file does not open"]
