"""LoadGen itself asks a real server; its verdict and ours agree on what a valid run is."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.serving.running import Running, running
from toolkit.errors import UsageError
from toolkit.measure.load.loadgen import Scenario
from toolkit.measure.load.mlperf import MlperfResult, run_mlperf, scenario_of, summary_of
from toolkit.measure.load.request import LoadRequest

installed = pytest.mark.skipif(importlib.util.find_spec("mlperf_loadgen") is None, reason="an extra")
SUMMARY = """================================================
MLPerf Results Summary
================================================
Scenario : Server
Result is : INVALID
  Performance constraints satisfied : NO
  Min duration satisfied : Yes
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("served")) as found:
        yield found


def request(server: Running, **options: Any) -> LoadRequest:
    feeds = {"": [{"x": np.ones((2, 2), np.float32)}]}
    return LoadRequest((f"grpc://127.0.0.1:{server.grpc_port}/double",), feeds=feeds, duration_s=0.2, **options)


@installed
def test_a_single_stream_is_valid_and_leaves_its_logs(server: Running, tmp_path: Path) -> None:
    found = run_mlperf(request(server, requests=300), "SingleStream", tmp_path / "logs")
    assert found.valid, found.reason
    assert found.summary["Scenario"] == "SingleStream"
    assert (tmp_path / "logs" / "mlperf_log_summary.txt").is_file()
    assert (tmp_path / "logs" / "mlperf_log_detail.txt").is_file()


@installed
@pytest.mark.parametrize(("limit_s", "valid"), [(5.0, True), (1e-6, False)])
def test_a_server_is_valid_only_within_its_limit(server: Running, tmp_path: Path, limit_s: float, valid: bool) -> None:
    asked = request(server, rates=(1000.0,), slo=("p99", limit_s), requests=700)
    found = run_mlperf(asked, "Server", tmp_path)
    assert found.valid is valid, found.reason
    assert found.errors == 0


def test_errors_make_a_run_invalid_whatever_loadgen_says(tmp_path: Path) -> None:
    found = MlperfResult(Scenario("Server", 1, 1), {"Result is": "VALID"}, 3, "UNAVAILABLE: gone", tmp_path)
    assert not found.valid
    assert found.reason == "3 errors: UNAVAILABLE: gone"


def test_a_summary_is_read_as_names_and_values(tmp_path: Path) -> None:
    found = MlperfResult(Scenario("Server", 1, 1), summary_of(SUMMARY), 0, "", tmp_path)
    assert found.reason == "the result is INVALID (Performance constraints satisfied)"


@pytest.mark.parametrize(
    ("name", "options"),
    [("Offline", {}), ("Server", {}), ("Server", {"rates": (10.0,)}), ("SingleStream", {"batch_sizes": (1, 2)})],
)
def test_what_is_no_scenario_is_refused(name: str, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        scenario_of(LoadRequest(("grpc://127.0.0.1:1/double",), **options), name)
