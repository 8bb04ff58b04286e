"""A runner is held against recorded cases; the runners here are Python functions, so no TensorFlow is loaded."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

import numpy as np
import pytest

from toolkit.core.artifact import Behaviour
from toolkit.core.golden import Case
from toolkit.core.parity import Allowed, Check, Tolerance
from toolkit.core.runner import FunctionRunner, Runner
from toolkit.core.tensors import Array, Feed, Outputs, Signature, TensorSpec
from toolkit.errors import ParityError
from toolkit.verifying.parity import AGAIN, Expectation, check_runner, chosen_rows

ROWS = TensorSpec("float32", (None, 2))
SIGNATURE = Signature({"x": ROWS}, {"double": ROWS, "sum": TensorSpec("float32", (None,))})


def right(feed: Feed) -> dict[str, Array]:
    """The model of these tests: every row for itself."""
    return {"double": feed["x"] * 2, "sum": feed["x"].sum(axis=1)}


def feed_of(size: int, seed: int = 0) -> dict[str, Array]:
    return {"x": np.random.default_rng(seed).normal(size=(size, 2)).astype("float32")}


def expectation(
    signature: Signature = SIGNATURE, model: Callable[[Feed], Outputs] = right, **named: Any
) -> Expectation:
    feeds = {f"batch{size}": feed_of(size, seed=size) for size in (1, 7)}
    cases = [Case("serving_default", name, feed, model(feed)) for name, feed in feeds.items()]
    return Expectation("serving_default", signature, cases, Behaviour(), **named)


WANTED = expectation()


def opener(
    run: Callable[[Feed], Any], signature: Signature = SIGNATURE
) -> Callable[[], AbstractContextManager[Runner]]:
    return lambda: FunctionRunner("fake", signature, run)


def verdict(run: Callable[[Feed], Any], wanted: Expectation = WANTED, signature: Signature = SIGNATURE) -> Check:
    return check_runner("fake", opener(run, signature), wanted)


def problems(check: Check) -> list[str]:
    return [*check.problems, *(found.problem for found in check.outputs.values() if found.problem)]


def test_a_runner_that_agrees_passes_and_tells_what_was_asked() -> None:
    found = verdict(right)
    assert found.passed
    assert (found.signature, found.runtime, found.batch_sizes) == ("serving_default", "fake", (1, 7))
    assert {name: deviation.max_abs for name, deviation in found.outputs.items()} == {"double": 0.0, "sum": 0.0}


def changed(feed: Feed, **outputs: Any) -> dict[str, Array]:
    return right(feed) | outputs


def one_weight_off(feed: Feed) -> Outputs:
    outputs = right(feed)
    outputs["double"][-1, 1] += 0.01
    return outputs


def nan_in_a_row(feed: Feed) -> Outputs:
    outputs = right(feed)
    outputs["sum"][0] = np.nan
    return outputs


@pytest.mark.parametrize(
    ("run", "problem"),
    [
        (one_weight_off, r"batch1: output 'double' at \[0, 1\]: expected .*, actual .* \(atol 1e-05, rtol 0.0001\)"),
        (nan_in_a_row, r"batch1: output 'sum' at \[0\]: expected .*, actual nan"),
        (lambda feed: {"double": right(feed)["double"]}, "output 'sum' is missing; there are double"),
        (lambda _: {}, "output 'double' is missing; there are none"),
        (
            lambda feed: changed(feed, sum=feed["x"].sum(axis=1).astype("float64")),
            "output 'sum' is float64, expected float32",
        ),
        (
            lambda feed: changed(feed, sum=feed["x"].sum(axis=1, keepdims=True)),
            r"output 'sum' has shape \[1, 1\], expected \[1\]",
        ),
        (
            lambda feed: changed(feed, double=right(feed)["double"][:1]),
            r"batch7: output 'double' has shape \[1, 2\], expected \[7, 2\]",
        ),
    ],
)
def test_what_a_runner_answers_wrong_is_named(run: Callable[[Feed], Any], problem: str) -> None:
    found = verdict(run)
    assert not found.passed
    assert any(re.search(problem, text) for text in problems(found)), problems(found)


INT = TensorSpec("int32", (None, 2))


@pytest.mark.parametrize(
    ("inputs", "outputs", "problem"),
    [
        ({"x": ROWS}, {"twice": ROWS, "sum": ROWS}, "its outputs are named sum, twice, expected double, sum"),
        ({"x": ROWS}, {"double": ROWS}, "its outputs are named double, expected double, sum"),
        ({"x": ROWS}, {}, "its outputs are named nothing, expected double, sum"),
        ({"args_0": ROWS}, dict(SIGNATURE.outputs), "its inputs are named args_0, expected x"),
        ({"x": INT}, dict(SIGNATURE.outputs), "input 'x' is int32, expected float32"),
        ({"x": ROWS}, dict(SIGNATURE.outputs) | {"double": INT}, "output 'double' is int32, expected float32"),
        (
            {"x": TensorSpec("float32", (1, 2))},
            dict(SIGNATURE.outputs),
            "input 'x' is float32[1, 2], expected float32[*, 2]",
        ),
        (
            {"x": TensorSpec("float32", (None, 3))},
            dict(SIGNATURE.outputs),
            "input 'x' is float32[*, 3], expected float32[*, 2]",
        ),
        (
            {"x": TensorSpec("float32", (None,))},
            dict(SIGNATURE.outputs),
            "input 'x' is float32[*], expected float32[*, 2]",
        ),
    ],
)
def test_a_signature_that_is_not_the_models_is_named_and_nothing_is_run(
    inputs: Mapping[str, TensorSpec], outputs: Mapping[str, TensorSpec], problem: str
) -> None:
    def never(_: Feed) -> Outputs:
        raise AssertionError("a runner with another signature must not be run")

    found = verdict(never, signature=Signature(inputs, outputs))
    assert problems(found) == [problem]


@pytest.mark.parametrize("shape", [None, (), (None, 2), (1, 2)])
def test_an_output_may_know_less_of_its_shape_than_the_model(shape: tuple[int | None, ...] | None) -> None:
    outputs = dict(SIGNATURE.outputs) | {"double": TensorSpec("float32", shape)}
    assert verdict(right, signature=Signature(SIGNATURE.inputs, outputs)).passed


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


def test_a_tolerance_of_the_models_own_stands_in_place_of_the_dtypes() -> None:
    assert verdict(one_weight_off, expectation(tolerances={"double": Tolerance(0.02, 0.0)})).passed
    assert not verdict(one_weight_off, expectation(tolerances={"sum": Tolerance(0.02, 0.0)})).passed
    assert not verdict(right, expectation(model=one_weight_off, tolerances={"double": Tolerance(0.0, 0.0)})).passed


@pytest.mark.parametrize(
    ("output", "value", "passed"), [("double", 0.02, True), ("double", 0.001, False), ("sum", 9.0, False)]
)
def test_a_difference_is_allowed_for_its_output_up_to_its_value(output: str, value: float, passed: bool) -> None:
    word = Allowed(value, "quantized")
    found = verdict(one_weight_off, expectation(allowed={output: word}))
    assert found.passed is passed
    assert found.outputs["double"].allowed == (word if passed else None)
    assert found.outputs["sum"].allowed is None


def test_no_word_lets_a_renamed_output_or_an_unsteady_one_pass() -> None:
    calls = count()
    wanted = expectation(allowed={"double": Allowed(99.0, "whatever")})
    renamed = Signature(SIGNATURE.inputs, {"twice": ROWS, "sum": SIGNATURE.outputs["sum"]})
    assert not verdict(right, wanted, renamed).passed
    assert not verdict(lambda feed: changed(feed, double=right(feed)["double"] + next(calls)), wanted).passed
