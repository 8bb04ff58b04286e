"""Rows of several requests become one feed, and one batch of outputs becomes each request's own again."""

from typing import Any

import numpy as np
import pytest

from tests.serving.batch_fakes import HOUR, Recorder, batching, error_of, rows_of
from toolkit.errors import Fault


def test_rows_of_different_shapes_are_refused_without_padding() -> None:
    model = Recorder()
    with batching(batch_timeout_micros=HOUR, max_batch_size=2) as callers:
        errors = [error_of(each) for each in (callers.enqueue(model, [[1.0]]), callers.enqueue(model, [[1.0, 2.0]]))]
    assert {error.message for error in errors} == {
        "Tensors with name 'x' from different tasks have different shapes and padding is turned off. Set "
        "pad_variable_length_inputs to true, or ensure that all tensors with the same name have equal dimensions "
        "starting with the first dim."
    }
    assert errors[0].fault is Fault.PRECONDITION
    assert errors[0] is not errors[1]


@pytest.mark.parametrize(
    ("feeds", "batch"),
    [
        ([[[1.0]], [[2.0, 3.0]]], [[1.0, 1.0], [2.0, 3.0]]),
        ([[[1.0, 2.0]], [[3.0]]], [[1.0, 2.0], [3.0, 3.0]]),
        ([[[5.0, 6.0], [7.0, 8.0]], [[1.0, 2.0, 3.0]]], [[5.0, 6.0, 5.0], [7.0, 8.0, 5.0], [1.0, 2.0, 3.0]]),
        ([[[[1.0], [2.0]]], [[[3.0, 4.0]]]], [[[1.0, 1.0], [2.0, 1.0]], [[3.0, 4.0], [3.0, 3.0]]]),
        ([[[b"a"]], [[b"b", b"c"]]], [[b"a", b"a"], [b"b", b"c"]]),
    ],
)
def test_shorter_rows_are_made_longer_with_their_first_value(feeds: list[Any], batch: list[Any]) -> None:
    model = Recorder()
    kind: Any = object if isinstance(feeds[0][0][0], bytes) else np.float32
    arrays = [np.array(feed, kind) for feed in feeds]
    rows = sum(map(len, arrays))
    with batching(batch_timeout_micros=HOUR, max_batch_size=rows, pad_variable_length_inputs=True) as callers:
        answers = [callers.enqueue(model, array) for array in arrays]
        found = [rows_of(answer) for answer in answers]
    assert model.batches[0]["x"].tolist() == batch
    assert [len(each) for each in found] == [len(array) for array in arrays]


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (np.zeros((1, 0), np.float32), "Got empty tensor in batch of non-empty tensors."),
        (np.zeros((1, 2, 2), np.float32), "Tensors with name 'x' from different tasks have different shapes"),
    ],
)
def test_what_no_padding_makes_equal_is_refused(second: Any, message: str) -> None:
    with batching(batch_timeout_micros=HOUR, max_batch_size=2, pad_variable_length_inputs=True) as callers:
        model = Recorder()
        answers = [callers.enqueue(model, np.ones((1, 1), np.float32)), callers.enqueue(model, second)]
        assert all(error_of(answer).message.startswith(message) for answer in answers)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (np.float32(1.0), "Batched output tensor has 0 dimensions"),
        (
            np.zeros(3),
            "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes of the input "
            "tensors",
        ),
    ],
)
def test_an_output_without_a_row_for_each_row_is_refused_where_it_is_asked_for(extra: Any, message: str) -> None:
    model = Recorder(extra={"odd": np.asarray(extra)})
    with batching(allowed_batch_sizes=(2, 4)) as callers:
        assert error_of(callers.ask(model, [1.0], outputs=("y", "odd"))).message == message
        assert rows_of(callers.ask(model, [1.0])) == [2.0]
