"""A runner is held against recorded cases; the runners here are Python functions, so no TensorFlow is loaded."""

import re
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

import pytest

from tests.verifying.fakes import (
    ROWS,
    SIGNATURE,
    changed,
    expectation,
    nan_in_a_row,
    one_weight_off,
    problems,
    right,
    verdict,
)
from toolkit.core.parity import Allowed, Tolerance
from toolkit.core.tensors import Feed, Outputs, Signature, TensorSpec


def test_a_runner_that_agrees_passes_and_tells_what_was_asked() -> None:
    found = verdict(right)
    assert found.passed
    assert (found.signature, found.runtime, found.batch_sizes) == ("serving_default", "fake", (1, 7))
    assert {name: deviation.max_abs for name, deviation in found.outputs.items()} == {"double": 0.0, "sum": 0.0}


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
