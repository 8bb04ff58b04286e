"""enable_large_batch_splitting: a request larger than a batch goes into several and comes back whole."""

import threading

import numpy as np
import pytest

from tests.serving.batch_fakes import HOUR, Recorder, batching, error_of, rows_of
from tests.serving.fakes import PATIENCE_S
from toolkit.errors import Fault, RunError, ServingError
from toolkit.serving.batches import split_sizes
from toolkit.serving.scheme import Scheme
from toolkit.wire.settings import BatchingParameters


@pytest.mark.parametrize(
    ("rows", "room", "limit", "sizes"),
    [
        (3, 4, 4, [3]),
        (4, 4, 4, [4]),
        (10, 4, 4, [4, 4, 2]),
        (10, 1, 4, [1, 4, 4, 1]),
        (9, 1, 4, [1, 4, 4]),
        (2, 3, 4, [2]),
        (8, 0, 4, [4, 4]),
        (9, 0, 4, [4, 4, 1]),
        (1, 0, 4, [1]),
    ],
)
def test_a_request_fills_the_open_batch_then_whole_ones(rows: int, room: int, limit: int, sizes: list[int]) -> None:
    assert split_sizes(rows, room, limit) == sizes


def test_a_large_request_comes_back_whole() -> None:
    model = Recorder()
    with batching(max_batch_size=10, max_execution_batch_size=4, enable_large_batch_splitting=True) as callers:
        rows = np.arange(10, dtype=np.float32)
        found = callers.ask(model, rows, outputs=("y", "total")).result(PATIENCE_S)
        assert found["y"].tolist() == (rows * 2).tolist()
        assert found["total"].shape == (10, 1)
    assert model.sizes == [4, 4, 2]


def test_it_first_fills_the_batch_that_is_open() -> None:
    model = Recorder()
    with batching(
        batch_timeout_micros=HOUR, max_batch_size=10, max_execution_batch_size=4, enable_large_batch_splitting=True
    ) as callers:
        small = callers.enqueue(model, [1.0, 2.0, 3.0])
        large = callers.ask(model, [4.0, 5.0, 6.0, 7.0, 8.0, 9.0])
        assert rows_of(small) == [2.0, 4.0, 6.0]
        assert not large.done()
        callers.runs.stop(PATIENCE_S)
        assert rows_of(large) == [8.0, 10.0, 12.0, 14.0, 16.0, 18.0]
    assert [batch["x"].tolist() for batch in model.batches] == [[1, 2, 3, 4], [5, 6, 7, 8], [9]]


def test_the_parts_are_padded_each_by_itself() -> None:
    model = Recorder()
    with batching(
        max_batch_size=8, max_execution_batch_size=4, enable_large_batch_splitting=True, allowed_batch_sizes=(2, 4, 8)
    ) as callers:
        assert rows_of(callers.ask(model, [1.0, 2.0, 3.0, 4.0, 5.0])) == [2.0, 4.0, 6.0, 8.0, 10.0]
    assert [batch["x"].tolist() for batch in model.batches] == [[1, 2, 3, 4], [5, 5]]


def test_without_max_execution_batch_size_only_an_open_batch_splits_a_request() -> None:
    model = Recorder()
    with batching(batch_timeout_micros=HOUR, enable_large_batch_splitting=True) as callers:
        first, second = callers.enqueue(model, [1.0, 2.0, 3.0]), callers.ask(model, [4.0, 5.0])
        assert rows_of(first) == [2.0, 4.0, 6.0]
        callers.runs.stop(PATIENCE_S)
        assert rows_of(second) == [8.0, 10.0]
    assert model.sizes == [4, 1]


def test_more_rows_than_a_request_may_have_are_refused() -> None:
    with batching(max_batch_size=6, max_execution_batch_size=4, enable_large_batch_splitting=True) as callers:
        error = error_of(callers.ask(Recorder(), [1.0] * 7))
    assert (error.fault, error.message) == (Fault.INVALID, "Task size 7 is larger than maximum input batch size 6")


def test_a_request_that_does_not_fit_whole_is_refused_whole() -> None:
    model = Recorder(held=threading.Event())
    with batching(
        batch_timeout_micros=HOUR,
        max_batch_size=9,
        max_execution_batch_size=4,
        enable_large_batch_splitting=True,
        max_enqueued_batches=2,
    ) as callers:
        running = callers.ask(model, [0.0] * 4)
        assert model.entered.acquire(timeout=PATIENCE_S)
        callers.enqueue(model, [1.0])
        error = error_of(callers.ask(model, [2.0] * 8))
        assert error.fault is Fault.UNAVAILABLE
        assert error.message.endswith("is full; task size is 8 but scheduling capacity is only 7")
        assert callers.waiting_rows(model) == 1
        fits = callers.enqueue(model, [2.0] * 7)
        assert model.held is not None
        model.held.set()
        assert rows_of(fits) == [4.0] * 7
        assert rows_of(running) == [0.0] * 4
    assert model.sizes == [4, 4, 4]


def test_a_request_that_no_queue_could_hold_is_refused_though_nobody_waits() -> None:
    with batching(
        max_batch_size=9, max_execution_batch_size=4, max_enqueued_batches=2, enable_large_batch_splitting=True
    ) as callers:
        error = error_of(callers.ask(Recorder(), [1.0] * 9))
        assert error.message.endswith("task size is 9 but scheduling capacity is only 8")
        assert rows_of(callers.ask(Recorder(), [1.0] * 8)) == [2.0] * 8


def test_an_error_in_one_part_is_the_requests_error() -> None:
    class FailsOnce(Recorder):
        def run(self, signature, feed):  # type: ignore[no-untyped-def]  # as its parent
            self.error = RunError("bad row", fault=Fault.INVALID) if 7.0 in feed["x"] else None
            return super().run(signature, feed)

    model = FailsOnce()
    with batching(max_batch_size=9, max_execution_batch_size=4, enable_large_batch_splitting=True) as callers:
        error = callers.ask(model, [1.0] * 5 + [7.0] + [1.0] * 3).exception(PATIENCE_S)
        assert isinstance(error, RunError)
        assert error.message == "bad row"
        assert rows_of(callers.ask(model, [1.0] * 9)) == [2.0] * 9


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"max_batch_size": 0}, "max_batch_size must be positive; was 0"),
        ({"max_batch_size": -1}, "max_batch_size must be positive; was -1"),
        ({"batch_timeout_micros": -5}, "batch_timeout_micros must be non-negative; was -5"),
        ({"num_batch_threads": 0}, "num_batch_threads must be positive; was 0"),
        ({"max_enqueued_batches": -1}, "max_enqueued_batches must be positive; was -1"),
        (
            {"max_enqueued_batches": 0, "enable_large_batch_splitting": True},
            "max_enqueued_batches must be positive; was 0",
        ),
        (
            {"max_batch_size": 4, "allowed_batch_sizes": (1, 2)},
            "Last entry in allowed_batch_sizes must match max_batch_size; last entry was 2; expected 4",
        ),
        (
            {"allowed_batch_sizes": (4,)},
            "Last entry in allowed_batch_sizes must match max_batch_size; last entry was 4; expected 1000",
        ),
        (
            {"max_batch_size": 4, "allowed_batch_sizes": (2, 1, 4)},
            "allowed_batch_sizes entries must be monotonically increasing",
        ),
        (
            {"max_batch_size": 4, "allowed_batch_sizes": (0, 4)},
            "allowed_batch_sizes entries must be monotonically increasing",
        ),
        (
            {"max_batch_size": 4, "max_execution_batch_size": 8, "enable_large_batch_splitting": True},
            "When enable_large_batch_splitting is true, input_batch_size_limit must be greater than or equal to "
            "max_execution_batch_size; they are 4 and 8",
        ),
        (
            {"max_execution_batch_size": 0, "enable_large_batch_splitting": True},
            "max_execution_batch_size must be positive; was 0",
        ),
    ],
)
def test_parameters_that_make_no_sense_are_refused(parameters: dict[str, int], message: str) -> None:
    with pytest.raises(ServingError) as found:
        Scheme.of(BatchingParameters(**parameters))  # type: ignore[arg-type]
    assert (found.value.fault, found.value.message) == (Fault.INVALID, message)


def test_what_is_not_given_is_tensorflow_servings_default() -> None:
    scheme = Scheme.of(BatchingParameters())
    assert (scheme.max_request_rows, scheme.timeout_s, scheme.max_enqueued) == (1000, 0.0, 10)
    assert scheme.threads >= 1
    assert not scheme.splits


@pytest.mark.parametrize(
    "parameters",
    [
        BatchingParameters(max_enqueued_batches=0),  # the real server takes it for 1
        BatchingParameters(max_batch_size=4, max_execution_batch_size=8),  # means nothing where nothing is split
    ],
)
def test_parameters_that_the_real_server_takes_are_taken(parameters: BatchingParameters) -> None:
    scheme = Scheme.of(parameters)
    assert scheme.max_enqueued >= 1
    assert scheme.max_batch_rows == scheme.max_request_rows
