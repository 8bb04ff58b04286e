"""A served call's time is split by the client's clock and by what the server told."""

import pytest

from toolkit.measure.phases import phases_of
from toolkit.runtimes.served import Moments

HEADER = 'queue;dur=0.100, parse;dur=0.020, compute;dur=2.000, encode;dur=0.030, artifact;desc="onnx"'
METADATA = (
    ("tfx-queue-ns", "100000"),
    ("tfx-parse-ns", "20000"),
    ("tfx-compute-ns", "2000000"),
    ("tfx-encode-ns", "30000"),
    ("tfx-artifact", "onnx"),
)


@pytest.mark.parametrize("told", [HEADER, METADATA])
def test_what_neither_side_accounts_for_is_the_networks(told: object) -> None:
    found = phases_of([Moments(0, 50_000, 3_050_000, 3_090_000, told)])
    assert {name: values.tolist() for name, values in found.items()} == {
        "client encode": [50_000],
        "network": [850_000],
        "queue": [100_000],
        "parse": [20_000],
        "compute": [2_000_000],
        "encode": [30_000],
        "client decode": [40_000],
    }


@pytest.mark.parametrize("told", [None, (), "cache;dur=1"])
def test_a_server_that_tells_nothing_leaves_it_all_to_the_network(told: object) -> None:
    found = phases_of([Moments(0, 10, 110, 115, told)])
    assert {name: values.tolist() for name, values in found.items()} == {
        "client encode": [10],
        "network": [100],
        "client decode": [5],
    }


def test_no_calls_have_no_phases() -> None:
    assert phases_of([]) == {}
