"""Batches are counted under TensorFlow Serving's names, with its labels and buckets."""

import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from tests.serving.batch_fakes import Clock, Recorder, batching, rows_of
from toolkit.serving.metrics import Metrics

PREFIX = ":tensorflow:serving:batching_session:"


def page(metrics: Metrics) -> dict[tuple[str, str], float]:
    """Sample to value: its name after the prefix, and the value of its only label."""
    families = text_string_to_metric_families(metrics.page().decode())
    samples = [sample for family in families if family.name.startswith(PREFIX) for sample in family.samples]
    return {
        (one.name.removeprefix(PREFIX).removesuffix("_total"), ",".join(one.labels.values())): one.value
        for one in samples
    }


def test_a_padded_batch_of_two_requests_is_counted_as_the_real_server_counts_it() -> None:
    metrics, clock = Metrics(), Clock()
    with batching(clock, watch=metrics, batch_timeout_micros=5_000_000, allowed_batch_sizes=(4,)) as callers:
        model = Recorder()
        first = callers.enqueue(model, [1.0, 2.0])
        clock.now += 4.5
        second = callers.enqueue(model, [3.0])
        clock.now += 0.5
        callers.look()
        assert (rows_of(first), rows_of(second)) == ([2.0, 4.0], [6.0])
    found = page(metrics)
    assert found["wrapped_run_count", ""] == 1
    assert (found["input_batch_size_count", ""], found["input_batch_size_sum", ""]) == (2, 3)
    assert (found["processed_batch_size_count", ""], found["processed_batch_size_sum", ""]) == (1, 4)
    assert (found["padding_size_count", "4"], found["padding_size_sum", "4"]) == (1, 1)
    assert (found["queuing_latency_count", ""], found["queuing_latency_sum", ""]) == (2, 5_500_000)


def test_every_input_and_every_part_counts() -> None:
    metrics = Metrics()
    with batching(
        watch=metrics, enable_large_batch_splitting=True, max_batch_size=8, max_execution_batch_size=2
    ) as callers:
        rows = np.ones(5, np.float32)
        callers.ask(Recorder(), {"x": rows, "z": rows}).result(20)
    found = page(metrics)
    assert found["wrapped_run_count", ""] == 3
    assert (found["input_batch_size_count", ""], found["input_batch_size_sum", ""]) == (2, 10)
    assert (found["processed_batch_size_count", ""], found["processed_batch_size_sum", ""]) == (3, 5)
    assert found["queuing_latency_count", ""] == 3


def test_buckets_are_the_real_servers() -> None:
    metrics = Metrics()
    with batching(watch=metrics, batch_timeout_micros=0) as callers:
        callers.ask(Recorder(), [1.0]).result(20)
    limits = {
        family.name.removeprefix(PREFIX): [float(one.labels["le"]) for one in family.samples if "le" in one.labels]
        for family in text_string_to_metric_families(metrics.page().decode())
    }
    assert (len(limits["queuing_latency"]), limits["queuing_latency"][:2]) == (53, [100.0, 120.0])
    for name in ("processed_batch_size", "padding_size", "input_batch_size"):
        assert limits[name] == [*(2.0**power for power in range(14)), float("inf")]


def test_a_counter_is_shown_before_the_first_batch_and_by_its_own_name() -> None:
    shown = Metrics().page().decode().splitlines()
    assert f"# TYPE {PREFIX}wrapped_run_count counter" in shown
    assert f"{PREFIX}wrapped_run_count 0.0" in shown


def test_what_runs_alone_is_no_batch() -> None:
    metrics = Metrics()
    with batching(watch=metrics, per_model=True) as callers:
        assert rows_of(callers.ask(Recorder(), [1.0])) == [2.0]
    assert page(metrics) == {("wrapped_run_count", ""): 0}
