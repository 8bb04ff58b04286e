"""What reports say of one server, as they come from files: a load's rate within its limit, a benchmark's batches."""

import json
from array import array
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.measure.load.reports import report as load_of
from tests.measure.load.reports import searched
from tests.measure.load.world import MS, point
from tests.measure.reports import MACHINE
from toolkit.cli.main import run
from toolkit.deploying.figures import read_figures
from toolkit.deploying.layout import Layout
from toolkit.deploying.rendering import RenderRequest
from toolkit.errors import BenchError, UsageError
from toolkit.measure.load.point import Point
from toolkit.measure.load.report import LoadReport
from toolkit.measure.load.search import Slo
from toolkit.measure.measurement import Key, Measurement
from toolkit.measure.plan import EFFORTS, Threads
from toolkit.measure.report import Report

SERVER_BYTES = 600 * 2**20


def held_at(rate: float, latency_ms: float = 2.0) -> Point:
    return point([round(latency_ms * MS)] * 2000, rate=rate)


def found_by_search(rate: float = 400.0) -> LoadReport:
    load = load_of(held_at(2 * rate, 90.0), held_at(rate))
    slo = {"limit": "p99 within 20 ms", "rate": rate, "said": f"{rate:.1f}/s holds p99 within 20 ms"}
    return replace(load, found={"slo": slo}, server_bytes=SERVER_BYTES)


def gated(*points: Point) -> LoadReport:
    slo = Slo.read("p99", 0.02)
    broken = {str(one.shape): why for one in points if (why := slo.broken_by(one))}
    said = "; ".join(f"{name}: {why}" for name, why in broken.items()) or "held"
    return replace(load_of(*points), found={"slo": {"limit": str(slo), "said": said, "broken": broken}})


def benchmark(*calls_ms: tuple[int, float], model: str = "mlp") -> Report:
    rows = tuple(
        Measurement(
            Key(model, "grpc", size, Threads(1, 1)),
            rounds=(array("q", [round(call_ms * MS)] * 9),),
            peak_bytes=5_000_000,
        )
        for size, call_ms in calls_ms
    )
    settings = {"max_seconds_per_path": EFFORTS["quick"].most_s}
    return Report("2026-11-22T12:00:00+00:00", MACHINE, EFFORTS["quick"], settings, 1, rows)


@pytest.fixture
def file(tmp_path: Path) -> Callable[[Any], Path]:
    """Writes a report as `--json` does."""

    def write(report: Any) -> Path:
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.json"
        path.write_text(json.dumps({"status": "ok", "result": report.to_json()}))
        return path

    return write


@pytest.fixture
def mlp(tmp_path: Path) -> Path:
    """A base path that clients know as `mlp`."""
    return tmp_path / "serving" / "mlp"


def test_a_load_with_a_limit_gives_capacity_and_memory(file: Callable[[Any], Path], mlp: Path) -> None:
    workload = RenderRequest(mlp, 1000.0, (file(found_by_search()),)).workload()
    assert (workload.capacity, workload.replicas, workload.memory_bytes) == (400.0, 3, SERVER_BYTES)
    assert workload.cores == MACHINE["cores"]
    assert "capacity: p99 within 20 ms in `tfx-export load`, batch 1 over grpc\n" in workload.arithmetic
    assert "memory: 600 MiB with one version, measured under load; request x 1.5 = 900 MiB" in workload.arithmetic


def test_twice_the_measured_capacity_is_half_the_replicas(file: Callable[[Any], Path], mlp: Path) -> None:
    replicas = [RenderRequest(mlp, 3200.0, (file(found_by_search(rate)),)).workload().replicas for rate in (400, 800)]
    assert replicas == [8, 4]


def test_a_gate_of_given_rates_gives_the_highest_that_held(file: Callable[[Any], Path]) -> None:
    found = read_figures([file(gated(held_at(100.0), held_at(300.0), held_at(900.0, 50.0)))], {"mlp"})
    assert found.capacity is not None
    assert found.capacity.value == 300.0
    assert found.capacity.source.startswith("the highest that was tried, p99 within 20 ms")
    assert found.memory is None


def test_a_load_and_a_benchmark_together_give_capacity_and_batches(file: Callable[[Any], Path], mlp: Path) -> None:
    reports = (file(benchmark((1, 2.0), (32, 8.0))), file(found_by_search()))
    workload = RenderRequest(mlp, 1000.0, reports).workload()
    assert workload.capacity == 400.0
    assert "max_batch_size { value: 32 }" in workload.batching


def test_one_caller_is_a_lower_bound_and_said_to_be(file: Callable[[Any], Path], mlp: Path) -> None:
    workload = RenderRequest(mlp, 1000.0, (file(benchmark((1, 2.0))),)).workload()
    assert (workload.capacity, workload.memory_source) == (500.0, "measured by the benchmark")
    assert "a lower bound" in workload.source


def test_options_stand_above_reports_and_are_said(file: Callable[[Any], Path], mlp: Path) -> None:
    workload = RenderRequest(mlp, 10.0, (file(found_by_search()),), capacity=5.0, memory=1.0, cpus=7).workload()
    assert (workload.capacity, workload.memory_bytes, workload.cores) == (5.0, 1_000_000, 7)
    assert "as given with --capacity" in workload.arithmetic
    assert "as given with --memory" in workload.arithmetic


@pytest.mark.parametrize(
    ("load", "names", "message"),
    [
        (load_of(held_at(1.0)), {"mlp"}, "knows no limit"),
        (searched(None), {"mlp"}, "no rate of the load held: not even 1/s holds"),
        (gated(held_at(900.0, 50.0)), {"mlp"}, "no rate of the load held: .*p99 50 ms"),
        (found_by_search(), {"cnn"}, "a load of mlp says nothing of cnn"),
    ],
)
def test_a_load_that_says_of_no_rate_that_it_holds_is_refused(
    file: Callable[[Any], Path], load: LoadReport, names: set[str], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        read_figures([file(load)], names)


def test_what_is_no_report_is_told(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text('{"kind": "other"}')
    with pytest.raises(BenchError, match="holds no report"):
        read_figures([tmp_path / "other.json"], {"mlp"})


def test_a_model_served_under_another_name_is_known_by_its_bundle(
    layout: Layout, published: Callable[[int], None], file: Callable[[Any], Path]
) -> None:
    published(1)
    layout.base_path.rename(layout.base / "mine")
    workload = RenderRequest(
        layout.base / "mine", 1000.0, (file(benchmark((1, 2.0), model="times")),), memory=1.0
    ).workload()
    assert workload.capacity == 500.0


def test_the_arithmetic_of_a_load_stands_in_the_file(
    file: Callable[[Any], Path], mlp: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    report = file(found_by_search())
    words = ("render", "kubernetes", mlp, "--rate", 1000, "--report", report, "--out", out, "--json")
    assert run([str(word) for word in words]) == 0
    result = json.loads(capsys.readouterr().out)["result"]
    assert (result["replicas"], result["capacity"], result["memory_bytes"]) == (3, 400.0, SERVER_BYTES)
    text = (out / "tensorflow-serving.yaml").read_text()
    assert "# replicas: 1000 requests/s / 400 requests/s of one server = 3\n" in text
    assert "# capacity: p99 within 20 ms in `tfx-export load`, batch 1 over grpc\n" in text
    deployment = next(one for one in yaml.safe_load_all(text) if one["kind"] == "Deployment")
    assert deployment["spec"]["replicas"] == 3
