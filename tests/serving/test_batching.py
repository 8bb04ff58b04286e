"""Requests are gathered into batches as TensorFlow Serving gathers them, and each gets its own rows."""

import threading
import time
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.serving.batch_fakes import HOUR, Clock, Recorder, batching, error_of, rows_of
from tests.serving.fakes import PATIENCE_S
from toolkit.core.tensors import Outputs
from toolkit.errors import Fault, RunError
from toolkit.serving.timing import Timing
from toolkit.wire.settings import BatchingParameters
from toolkit.wire.wording import RefusedEarlyError


def test_requests_wait_until_their_batch_is_full() -> None:
    model = Recorder()
    with batching(batch_timeout_micros=HOUR) as callers:
        first = callers.enqueue(model, [1.0, 2.0])
        second = callers.enqueue(model, [3.0])
        assert model.sizes == []
        third = callers.enqueue(model, [4.0])
        assert [rows_of(each) for each in (first, second, third)] == [[2.0, 4.0], [6.0], [8.0]]
    assert model.sizes == [4]


def test_a_batch_runs_when_its_first_request_waited_long_enough() -> None:
    model, clock = Recorder(), Clock()
    with batching(clock, batch_timeout_micros=5_000_000) as callers:
        first = callers.enqueue(model, [1.0])
        clock.now += 3
        second = callers.enqueue(model, [2.0])
        clock.now += 1.5
        callers.look()
        assert model.sizes == []
        clock.now += 0.5
        callers.look()
        assert (rows_of(first), rows_of(second)) == ([2.0], [4.0])
    assert model.sizes == [2]


def test_without_a_timeout_nobody_waits_for_company() -> None:
    model = Recorder()
    with batching() as callers:
        assert rows_of(callers.ask(model, [1.0])) == [2.0]
    assert model.sizes == [1]


def test_a_request_that_does_not_fit_closes_the_batch_before_it() -> None:
    model = Recorder()
    with batching(batch_timeout_micros=HOUR) as callers:
        first = callers.enqueue(model, [1.0, 2.0, 3.0])
        second = callers.enqueue(model, [4.0, 5.0])
        assert rows_of(first) == [2.0, 4.0, 6.0]
        assert not second.done()
        callers.runs.stop(PATIENCE_S)  # what waits is answered, timeout or not
        assert rows_of(second) == [8.0, 10.0]
    assert model.sizes == [3, 2]


@pytest.mark.parametrize(("rows", "size"), [(1, 2), (2, 2), (3, 4), (4, 4)])
def test_a_batch_is_padded_to_an_allowed_size_with_the_last_requests_first_row(rows: int, size: int) -> None:
    model = Recorder()
    with batching(allowed_batch_sizes=(2, 4)) as callers:
        x = np.arange(rows, dtype=np.float32) + 1
        assert rows_of(callers.ask(model, x)) == (x * 2).tolist()
    assert model.batches[0]["x"].tolist() == [*x.tolist(), *[1.0] * (size - rows)]


def test_the_recorded_parameters_pad_two_requests_of_one_row_and_two() -> None:
    model = Recorder()
    with batching(batch_timeout_micros=HOUR, allowed_batch_sizes=(2, 4)) as callers:
        answers = [callers.enqueue(model, [1.0]), callers.enqueue(model, [5.0, 6.0])]
        callers.runs.stop(PATIENCE_S)
        assert [rows_of(answer) for answer in answers] == [[2.0], [10.0, 12.0]]
    assert model.batches[0]["x"].tolist() == [1.0, 5.0, 6.0, 5.0]


def test_a_request_of_no_rows_is_answered() -> None:
    model = Recorder()
    with batching(batch_timeout_micros=HOUR, allowed_batch_sizes=(2, 4)) as callers:
        assert rows_of(callers.ask(model, np.zeros(0))) == []
        waiting = callers.enqueue(model, [1.0])
        assert rows_of(callers.ask(model, np.zeros(0))) == []
        assert not waiting.done()
        callers.runs.stop(PATIENCE_S)


def test_past_the_batches_that_may_wait_a_request_is_refused_and_those_before_it_are_answered() -> None:
    model = Recorder(held=threading.Event())
    with batching(batch_timeout_micros=HOUR, max_enqueued_batches=2) as callers:
        running = callers.ask(model, [0.0] * 4)
        assert model.entered.acquire(timeout=PATIENCE_S)
        waiting = [callers.enqueue(model, [float(number)] * 4) for number in (1, 2)]
        error = error_of(callers.ask(model, [3.0]))
        assert error.fault is Fault.UNAVAILABLE
        assert error.message == (
            "The batch scheduling queue to which this task was submitted is full; "
            "currently 2 batches enqueued and max_enqueued_batches is 2"
        )
        assert model.held is not None
        model.held.set()
        assert [rows_of(answer)[0] for answer in (running, *waiting)] == [0.0, 2.0, 4.0]
        last = callers.enqueue(model, [5.0])
        callers.runs.stop(PATIENCE_S)
        assert rows_of(last) == [10.0]


def test_each_request_gets_only_the_outputs_it_asked_for() -> None:
    model = Recorder()
    with batching(batch_timeout_micros=HOUR, max_batch_size=2) as callers:
        answers = [callers.enqueue(model, [1.0], outputs=(name,)) for name in ("y", "total")]
        assert [list(answer.result(PATIENCE_S)) for answer in answers] == [["y"], ["total"]]


@pytest.mark.parametrize("error", [RunError("bad value", fault=Fault.INVALID), ZeroDivisionError("odd")])
def test_an_error_reaches_every_request_of_its_batch_and_the_next_batch_runs(error: Exception) -> None:
    model = Recorder(error=error)
    with batching(batch_timeout_micros=HOUR, max_batch_size=2) as callers:
        answers = [callers.enqueue(model, [float(number)]) for number in range(2)]
        found = [answer.exception(PATIENCE_S) for answer in answers]
        assert [(type(each), str(each)) for each in found] == [(type(error), str(error))] * 2
        model.error = None
        assert rows_of(callers.ask(model, [1.0, 2.0])) == [2.0, 4.0]


def test_a_model_that_breaks_or_hangs_does_not_stop_others() -> None:
    broken, hanging, good = Recorder(error=ValueError("x")), Recorder(held=threading.Event()), Recorder()
    with batching(num_batch_threads=2) as callers:
        hung = callers.ask(hanging, [1.0])
        assert hanging.entered.acquire(timeout=PATIENCE_S)
        assert callers.ask(broken, [1.0]).exception(PATIENCE_S) is broken.error
        assert rows_of(callers.ask(good, [1.0])) == [2.0]
        assert hanging.held is not None
        hanging.held.set()
        assert rows_of(hung) == [2.0]


def test_signatures_and_models_take_turns_however_busy_one_is() -> None:
    order: list[str] = []
    busy, quiet = (
        Recorder(artifact="busy", order=order, held=threading.Event()),
        Recorder(artifact="quiet", order=order),
    )
    with batching(max_batch_size=1, max_enqueued_batches=9) as callers:
        callers.ask(busy, [0.0])
        assert busy.entered.acquire(timeout=PATIENCE_S)
        answers = [callers.enqueue(busy, [1.0]) for _ in range(5)]
        answers.append(callers.enqueue(quiet, [1.0]))
        assert busy.held is not None
        busy.held.set()
        assert [rows_of(answer) for answer in answers] == [[2.0]] * 6
    assert order.index("quiet") == 2


def test_two_versions_of_a_model_are_never_mixed() -> None:
    old, new = Recorder(), Recorder()
    with batching(batch_timeout_micros=HOUR, max_batch_size=2) as callers:
        answers = [callers.enqueue(old, [1.0]), callers.enqueue(new, [2.0])]
        callers.runs.stop(PATIENCE_S)
        assert [rows_of(answer) for answer in answers] == [[2.0], [4.0]]
    assert (old.sizes, new.sizes) == ([1], [1])


def test_a_request_past_its_deadline_leaves_the_queue() -> None:
    model = Recorder()
    with batching(batch_timeout_micros=HOUR) as callers:
        stays = callers.enqueue(model, [1.0])
        late = callers.ask(model, [2.0, 3.0], timing=Timing(deadline_ns=time.perf_counter_ns()))
        assert error_of(late).fault is Fault.DEADLINE
        assert callers.waiting_rows(model) == 1
        callers.runs.stop(PATIENCE_S)
        assert rows_of(stays) == [2.0]
    assert model.sizes == [1]


def test_nothing_is_left_of_a_queue_whose_only_request_passed_its_deadline() -> None:
    model = Recorder()
    with batching(batch_timeout_micros=HOUR) as callers:
        late = callers.ask(model, [1.0], timing=Timing(deadline_ns=time.perf_counter_ns()))
        assert isinstance(error_of(late), RefusedEarlyError)
        assert not callers.runs._queues
    assert model.sizes == []


def test_a_version_that_answered_is_not_kept_alive() -> None:
    model = Recorder()
    kept = weakref.ref(model)
    with batching() as callers:
        answer = callers.ask(model, [1.0])
        assert rows_of(answer) == [2.0]
        del answer, model
        other = Recorder()
        rows_of(callers.ask(other, [1.0]))  # the caller's own thread has done with it, too
        callers.pool.submit(lambda: None).result(PATIENCE_S)
        assert kept() is None


def test_after_stop_a_request_is_refused() -> None:
    with batching() as callers:
        callers.runs.stop(PATIENCE_S)
        assert error_of(callers.ask(Recorder(), [1.0])).fault is Fault.UNAVAILABLE


def test_a_version_may_bring_its_own_parameters_and_one_without_is_not_batched() -> None:
    own = Recorder(batching=BatchingParameters(max_batch_size=2, batch_timeout_micros=HOUR))
    plain = Recorder()
    with batching(per_model=True, batch_timeout_micros=HOUR) as callers:
        assert rows_of(callers.ask(plain, [1.0] * 9)) == [2.0] * 9
        answers = [callers.enqueue(own, [1.0]), callers.enqueue(own, [2.0])]
        assert [rows_of(answer) for answer in answers] == [[2.0], [4.0]]
        assert error_of(callers.ask(own, [1.0] * 3)).message.startswith("Task size 3 is larger")


def test_an_answer_says_how_long_it_waited_and_what_answered() -> None:
    model, clock, timing = Recorder(artifact="onnx"), Clock(), Timing()
    with batching(clock, batch_timeout_micros=5_000_000) as callers:
        answer = callers.enqueue(model, [1.0], timing=timing)
        clock.now += 5
        callers.look()
        rows_of(answer)
    assert (timing.queue_ns, timing.artifact) == (5_000_000_000, "onnx")
    assert timing.compute_ns > 0


@settings(max_examples=40)
@given(
    requests=st.lists(st.integers(0, 7), min_size=1, max_size=12),
    size=st.integers(1, 7),
    threads=st.integers(1, 3),
    splits=st.booleans(),
    data=st.data(),
)
def test_whatever_comes_together_each_request_gets_its_own_rows(
    requests: list[int], size: int, threads: int, splits: bool, data: st.DataObject
) -> None:
    allowed = data.draw(st.sets(st.integers(1, 7))) | {7} if data.draw(st.booleans()) else ()
    model = Recorder()
    with batching(
        max_batch_size=7,
        num_batch_threads=threads,
        max_enqueued_batches=99,
        allowed_batch_sizes=tuple(sorted(allowed)),
        enable_large_batch_splitting=splits,
        max_execution_batch_size=size,
        batch_timeout_micros=data.draw(st.sampled_from([0, 300])),
    ) as callers:
        feeds = [np.full((rows, 2), number, np.float32) + np.arange(2) / 8 for number, rows in enumerate(requests)]
        answers = [callers.ask(model, feed) for feed in feeds]
        for feed, answer in zip(feeds, answers, strict=True):
            found: Outputs = answer.result(PATIENCE_S)
            assert found["y"].tolist() == (feed * 2).tolist()
    limit = size if splits else 7
    assert all(rows <= limit or rows in allowed for rows in model.sizes)
    assert not allowed or all(rows in allowed for rows in model.sizes if rows)
