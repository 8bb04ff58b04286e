"""What happens on the server's side: its counters, a version swapped under load, batching parameters that are tried."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.measure.load.world import MS, point
from tests.serving.running import PATIENCE_S, SPEC, Running, running
from toolkit.core.golden import Case
from toolkit.core.tensors import Signature
from toolkit.errors import UnavailableError, UsageError
from toolkit.measure.load import targets
from toolkit.measure.load.counters import Counters, totals
from toolkit.measure.load.disturbing import Disturbance
from toolkit.measure.load.request import LoadRequest
from toolkit.measure.load.session import measure_load
from toolkit.measure.load.sweeping import TRIED, Batching, Tried, verdict, with_batching
from toolkit.measure.load.targets import Serving, Stage
from toolkit.measure.server import Served
from toolkit.wire.endpoints import parse_url, url_of
from toolkit.wire.settings import read_batching

# As TensorFlow Serving 2.x writes it, with models and methods that are not ours.
PAGE = """# TYPE :tensorflow:serving:request_count counter
:tensorflow:serving:request_count{model_name="mlp",status="OK"} 40
# TYPE :tensorflow:serving:request_latency histogram
:tensorflow:serving:request_latency_bucket{model_name="mlp",API="Predict",entrypoint="GRPC",le="+Inf"} 40
:tensorflow:serving:request_latency_sum{model_name="mlp",API="Predict",entrypoint="GRPC"} 80000
:tensorflow:serving:request_latency_count{model_name="mlp",API="Predict",entrypoint="GRPC"} 40
:tensorflow:serving:request_latency_sum{model_name="mlp",API="Classify",entrypoint="GRPC"} 5
:tensorflow:serving:request_latency_count{model_name="mlp",API="Classify",entrypoint="GRPC"} 1
:tensorflow:serving:request_latency_sum{model_name="other",API="Predict",entrypoint="GRPC"} 7
:tensorflow:serving:request_latency_count{model_name="other",API="Predict",entrypoint="GRPC"} 1
# TYPE :tensorflow:serving:runtime_latency histogram
:tensorflow:serving:runtime_latency_bucket{model_name="mlp",API="Predict",runtime="TF1",le="+Inf"} 40
:tensorflow:serving:runtime_latency_sum{model_name="mlp",API="Predict",runtime="TF1"} 40000
:tensorflow:serving:runtime_latency_count{model_name="mlp",API="Predict",runtime="TF1"} 40
# TYPE :tensorflow:serving:batching_session:processed_batch_size histogram
:tensorflow:serving:batching_session:processed_batch_size_bucket{le="+Inf"} 10
:tensorflow:serving:batching_session:processed_batch_size_sum{} 80
:tensorflow:serving:batching_session:processed_batch_size_count{} 10
# TYPE :tensorflow:serving:batching_session:padding_size histogram
:tensorflow:serving:batching_session:padding_size_bucket{execution_batch_size="8",le="+Inf"} 10
:tensorflow:serving:batching_session:padding_size_sum{execution_batch_size="8"} 20
:tensorflow:serving:batching_session:padding_size_count{execution_batch_size="8"} 10
"""
LATENCY = ":tensorflow:serving:request_latency"


class Shown(Counters):
    """Counters whose page is the one above."""

    def read(self) -> dict[str, float]:
        return totals(PAGE, self.models)


def test_only_our_model_and_predict_count() -> None:
    found = totals(PAGE, ("mlp",))
    assert found[f"{LATENCY}_sum"] == 80000
    assert found[f"{LATENCY}_count"] == 40


def test_over_rest_predict_is_written_small() -> None:
    assert totals(PAGE.replace('"Predict",entrypoint="GRPC"', '"predict",entrypoint="REST"'), ("mlp",)) == totals(
        PAGE, ("mlp",)
    )


def test_means_are_what_the_counters_grew_by() -> None:
    # Ten requests of 4 ms each were there before: thirty more took 40 ms in all.
    before = {f"{LATENCY}_sum": 40_000.0, f"{LATENCY}_count": 10.0}
    found = Shown("", ("mlp",)).described(point([5 * MS] * 30), before)
    assert found.server_s["in the server"] == pytest.approx(40e-3 / 30)
    assert found.server_s["of that runtime"] == pytest.approx(1e-3)
    assert found.server_s["outside the server"] == pytest.approx(5e-3 - 40e-3 / 30)
    assert found.padding == pytest.approx(0.25)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    file = tmp_path / "monitoring.config"
    file.write_text('prometheus_config { enable: true, path: "/metrics" }')
    with running(tmp_path, monitoring_config_file=str(file)) as found:
        yield found


def test_a_servers_own_page_is_read_around_each_load(server: Running) -> None:
    metrics = f"http://127.0.0.1:{server.rest_port}/metrics"
    request = LoadRequest(
        (f"grpc://127.0.0.1:{server.grpc_port}/double",),
        rates=(100.0,),
        duration_s=0.3,
        warm_up_s=0.1,
        feeds={"": [{"x": np.ones((1, 2), np.float32)}]},
        metrics_url=metrics,
    )
    found = measure_load(request).points[0]
    assert 0 < found.server_s["of that runtime"] <= found.server_s["in the server"]
    assert Counters(metrics, ("double",)).read()[f"{LATENCY}_count"] >= 40


def test_a_server_without_a_page_is_said_in_one_line(server: Running) -> None:
    with pytest.raises(UnavailableError, match="no metrics at"):
        Counters(f"http://127.0.0.1:{server.rest_port}/nowhere", ("double",)).read()


def test_a_swap_is_followed_to_its_end(tmp_path: Path) -> None:
    with running(tmp_path, file_system_poll_wait_seconds=1) as server:
        stage = Stage(tmp_path, {"double": tmp_path / "double" / "1"}, Served(server.address, "", "double"))
        with Disturbance.of("swap", stage, 0.1).meanwhile(0.0) as events:
            assert _wait(lambda: "version 1 of double END" in [what for _, what in events])
    said = [what for _, what in events]
    assert said[0] == "version 2 of double appears"
    assert "version 2 of double AVAILABLE" in said
    assert [at for at, _ in events] == sorted(at for at, _ in events)


def _wait(holds: Callable[[], bool]) -> bool:
    end, event = time.monotonic() + PATIENCE_S, threading.Event()
    while not holds() and time.monotonic() < end:
        event.wait(0.02)
    return holds()


@pytest.mark.parametrize("kind", ["swap", "load"])
def test_a_server_that_is_not_ours_is_not_disturbed(kind: str) -> None:
    with pytest.raises(UsageError, match="server of our own"):
        Disturbance.of(kind, None, 1.0)


@pytest.mark.parametrize("batching", [one for one in TRIED if one.rows], ids=str)
def test_each_setting_is_one_that_the_server_reads(batching: Batching) -> None:
    with with_batching(Serving(), batching) as serving:
        file = next(flag for flag in serving.flags if "parameters_file" in flag).partition("=")[2]
        found = read_batching(Path(file).read_text())
    assert found.max_batch_size == batching.rows
    assert found.allowed_batch_sizes[-1] == batching.rows
    assert serving.most_rows == batching.rows


def test_a_server_that_batches_is_not_held_to_answers_that_it_must_refuse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signature = Signature({"x": SPEC}, {"y": SPEC})
    cases = [Case("serving_default", f"batch {rows}", {"x": np.ones((rows, 2), np.float32)}, {}) for rows in (1, 8, 32)]
    monkeypatch.setattr(targets, "read_golden", lambda file, signatures: cases)
    manifest: Any = SimpleNamespace(
        signatures={"serving_default": signature}, artifacts=(), behaviour={}, tolerances={}
    )
    for most, kept in ((8, 2), (0, 3)):
        assert len(targets._expectations(tmp_path, manifest, most)["serving_default"].cases) == kept


@pytest.mark.parametrize(
    ("rates", "said"),
    [
        ({0: 100.0, 8: 180.0, 32: 130.0}, "best: batches of 8, 0 µs, 1.80 times what it is without"),
        ({0: 100.0, 8: 103.0}, "batching does not help here"),
        ({0: 100.0, 8: None}, "batching does not help here"),
        ({0: None, 8: 50.0}, "best: batches of 8, 0 µs"),
        ({0: None, 8: None}, "batching does not help here"),
    ],
)
def test_batching_is_best_only_where_it_helps(rates: dict[int, float | None], said: str) -> None:
    assert verdict([Tried(Batching(rows), rate, None, limited=True) for rows, rate in rates.items()])["said"] == said


@pytest.mark.parametrize(
    ("tried", "said"),
    [
        (Tried(Batching(8), 120.0, None, limited=True), "120.0/s"),
        (Tried(Batching(8), None, point([30 * MS] * 600), 126.0, limited=True), "does not hold 126.0/s"),
        (Tried(Batching(8), None, None, limited=True), "no rate holds"),
        (Tried(Batching(8), None, point([4 * MS] * 600)), "p99 4 ms"),
        (Tried(Batching(8), None, point([4 * MS] * 60)), "too few samples for p99"),
    ],
)
def test_a_setting_says_what_it_came_to(tried: Tried, said: str) -> None:
    assert tried.said == said
    assert tried.to_json()["said"] == said


def test_without_a_limit_the_lower_p99_is_best() -> None:
    tried = [
        Tried(Batching(), None, point([4 * MS] * 600)),
        Tried(Batching(8), None, point([2 * MS] * 600)),
    ]
    assert verdict(tried)["gain"] == pytest.approx(2)


@pytest.mark.parametrize(
    ("url", "address", "model", "version", "signature"),
    [
        ("unix:///run/serving.sock/mlp", "unix:/run/serving.sock", "mlp", None, ""),
        ("unix:///run/serving.sock/mlp:classify", "unix:/run/serving.sock", "mlp", None, "classify"),
        ("unix:///run/a/b.sock/mlp/versions/3:s", "unix:/run/a/b.sock", "mlp", 3, "s"),
    ],
)
def test_a_unix_socket_has_a_url(url: str, address: str, model: str, version: int | None, signature: str) -> None:
    found = parse_url(url)
    assert found.endpoint.address == address
    assert (found.target.model, found.target.version, found.target.signature) == (model, version, signature)
    assert url_of(found) == url
