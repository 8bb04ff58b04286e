"""Our histograms show what prometheus_client's own would."""

from concurrent.futures import ThreadPoolExecutor

import prometheus_client
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram

from toolkit.serving.histograms import Cell, Histograms

BOUNDS = (0.5, 1.0, 2.5)
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]


@given(st.lists(st.sampled_from([0.0, 0.5, 0.75, 1.0, 2.5, 3.0]), max_size=20))
def test_the_page_is_that_of_the_library(values: list[float]) -> None:
    theirs, ours = CollectorRegistry(), CollectorRegistry()
    expected = Histogram("seconds", "Time.", ("model",), buckets=BOUNDS, registry=theirs)
    actual = Histograms("seconds", "Time.", ("model",), BOUNDS)
    ours.register(actual)
    for value in values:
        expected.labels("m").observe(value)
        actual.labels("m").observe(value)
    assert prometheus_client.generate_latest(ours) == prometheus_client.generate_latest(theirs)


@pytest.mark.parametrize("threads", [1, 4])
def test_no_value_is_lost_between_threads(threads: int) -> None:
    cell = Cell(BOUNDS)
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(cell.observe, [1.0] * 2000))
    counts, total = cell.read()
    assert sum(counts) == total == 2000
