"""Which process took each round: it is kept, and decides what a ratio's interval allows for."""

import json
import math
from dataclasses import replace

import pytest

from tests.measure.reports import MS, measurement
from toolkit.measure.measurement import Measurement
from toolkit.measure.statistics import PROCESS_SPREAD

MANY = tuple(range(10))


@pytest.mark.parametrize(
    ("path", "processes", "allowed"),
    [("graph", MANY, 0.0), ("graph", (), PROCESS_SPREAD), ("grpc", MANY, PROCESS_SPREAD)],
)
def test_a_path_of_one_process_is_allowed_for_and_a_served_path_has_one_server(
    path: str, processes: tuple[int, ...], allowed: float
) -> None:
    eager = replace(measurement("eager", 4 * MS), processes=MANY)
    found = replace(measurement(path, 2 * MS), processes=processes).times_as_fast_as(eager)
    assert found is not None
    assert math.log(found.high / 2) == pytest.approx(allowed, abs=1e-9)


def test_a_report_keeps_them() -> None:
    taken = (0, 1, 0, 1, 2, 2, 3, 3, 0, 1)
    found = Measurement.from_json(json.loads(json.dumps(replace(measurement("graph", MS), processes=taken).to_json())))
    assert found.processes == taken
    assert found.workers == 4


def test_a_report_that_does_not_tell_is_read_as_one_process() -> None:
    document = measurement("graph", MS).to_json()
    del document["processes"]
    found = Measurement.from_json(document)
    assert (found.processes, found.workers) == ((), 1)
