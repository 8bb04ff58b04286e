"""Files for other engines: valid by the engines' own schemas, and with the arithmetic of the measured figures."""

import json
from array import array
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from jsonschema import Draft7Validator

from toolkit.deploying.layout import Layout
from toolkit.deploying.rendering import RENDERERS, RenderRequest, Workload, batching_text, render
from toolkit.deploying.yaml_text import document
from toolkit.errors import UsageError
from toolkit.measure.measurement import Key, Measurement
from toolkit.measure.plan import Threads
from toolkit.wire.configs import read_config_text
from toolkit.wire.settings import read_batching, read_monitoring

WORKLOAD = Workload(
    name="My_model.v2",
    base_path=Path("/srv/models/My_model.v2"),
    rate=3000.0,
    capacity=800.0,
    source="as given with --capacity",
    memory_bytes=700 * 2**20,
    cores=2,
    batching="max_batch_size { value: 32 }\n",
    storage="pvc://models/mine",
)
# The schema of the Compose specification (compose-spec.json of github.com/compose-spec/compose-spec, Apache-2.0), as
# the npm package dclint 3.1.0 ships it.
COMPOSE_SCHEMA = json.loads((Path(__file__).parent / "data" / "compose-spec.json").read_text())
# The fields of KServe's v1beta1 CRD that may stand here, by place.
KSERVE_PREDICTOR = {"minReplicas", "maxReplicas", "canaryTrafficPercent", "model"}
KSERVE_MODEL = {"modelFormat", "runtimeVersion", "storageUri", "resources"}


def files(engine: str, workload: Workload = WORKLOAD) -> dict[str, str]:
    return dict(RENDERERS.load(engine).files(workload))


def kubernetes(workload: Workload = WORKLOAD) -> dict[str, Any]:
    found = yaml.safe_load_all(files("kubernetes", workload)["tensorflow-serving.yaml"])
    return {one["kind"]: one for one in found}


def test_every_engine_is_found_by_its_file_name() -> None:
    assert RENDERERS.names() == ["compose", "kserve", "kubernetes"]
    assert [RENDERERS.load(name).name for name in RENDERERS.names()] == RENDERERS.names()


@pytest.mark.parametrize("release", ["1.29", "1.31", "1.34"])
def test_kubernetes_takes_every_object(release: str) -> None:
    objects = kubernetes()
    assert set(objects) == {
        *("ConfigMap", "Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget", "NetworkPolicy")
    }
    for found in objects.values():
        kubernetes_validate.validate(found, release, strict=True)


def test_a_misspelt_field_would_be_seen() -> None:
    broken = kubernetes()["Deployment"]
    broken["spec"]["replica"] = 1
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, "1.31", strict=True)


def test_a_pod_is_locked_up_and_ready_only_when_a_version_answers() -> None:
    pod = kubernetes()["Deployment"]["spec"]["template"]["spec"]
    (serving,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert serving["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert serving["readinessProbe"]["httpGet"] == {"path": "/v1/models/My_model.v2/metadata", "port": "rest"}
    assert all(mount.get("readOnly") or mount["name"] == "tmp" for mount in serving["volumeMounts"])
    assert kubernetes()["NetworkPolicy"]["spec"]["egress"] == []


def test_selectors_mean_the_pods() -> None:
    objects = kubernetes()
    labels = objects["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert objects["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    assert objects["Service"]["spec"]["selector"] == labels
    assert objects["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    assert objects["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == labels
    assert objects["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"] == "my-model-v2"


@pytest.mark.parametrize(
    ("rate", "capacity", "replicas"),
    [
        (3200, 400, 8),
        (3200, 800, 4),
        (3200, 1600, 2),
        (3200, 3200, 1),
        (3201, 3200, 2),
        (1, 800, 1),
        (800_000, 800, 1000),
    ],
)
def test_twice_the_capacity_is_half_the_replicas(rate: float, capacity: float, replicas: int) -> None:
    workload = replace(WORKLOAD, rate=rate, capacity=capacity)
    objects = kubernetes(workload)
    scaler = objects["HorizontalPodAutoscaler"]["spec"]
    assert (objects["Deployment"]["spec"]["replicas"], scaler["minReplicas"]) == (replicas, replicas)
    assert scaler["maxReplicas"] == 2 * replicas
    text = files("kubernetes", workload)["tensorflow-serving.yaml"]
    assert f"# replicas: {rate:g} requests/s / {capacity:g} requests/s of one server = {replicas}\n" in text
    predictor = yaml.safe_load(files("kserve", workload)["inference-service.yaml"])["spec"]["predictor"]
    assert predictor["minReplicas"] == replicas


def test_resources_follow_the_measured_memory() -> None:
    (serving,) = kubernetes()["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert serving["resources"] == {"requests": {"cpu": "2", "memory": "1050Mi"}, "limits": {"memory": "1750Mi"}}


def test_compose_is_valid_by_its_public_schema() -> None:
    found = yaml.safe_load(files("compose")["compose.yaml"])
    valid = Draft7Validator(COMPOSE_SCHEMA)
    assert [error.message for error in valid.iter_errors(found)] == []
    found["services"]["serving"]["port"] = 8500
    found["services"]["prometheus"]["read_only"] = ["yes"]
    assert {tuple(error.path) for error in valid.iter_errors(found)} == {
        ("services", "serving"),
        ("services", "prometheus", "read_only"),
    }


def test_compose_has_a_locked_server_and_a_prometheus() -> None:
    found = yaml.safe_load(files("compose")["compose.yaml"])
    assert set(found["services"]) == {"serving", "prometheus"}
    for service in found["services"].values():
        assert service["read_only"]
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    serving = found["services"]["serving"]
    assert "/srv/models/My_model.v2:/models/My_model.v2:ro" in serving["volumes"]
    assert serving["deploy"]["resources"]["limits"] == {"memory": "1750M", "cpus": "2"}


def test_prometheus_scrapes_where_monitoring_answers() -> None:
    made = files("compose")
    (job,) = yaml.safe_load(made["prometheus.yml"])["scrape_configs"]
    assert job["metrics_path"] == read_monitoring(made["config/monitoring.config"]).path
    assert job["static_configs"] == [{"targets": ["serving:8501"]}]


def test_kserve_holds_fields_of_its_definition_and_warns_of_raw_deployment() -> None:
    text = files("kserve")["inference-service.yaml"]
    found = yaml.safe_load(text)
    predictor = found["spec"]["predictor"]
    assert (found["apiVersion"], found["kind"]) == ("serving.kserve.io/v1beta1", "InferenceService")
    assert (set(predictor), set(predictor["model"])) == (KSERVE_PREDICTOR, KSERVE_MODEL)
    assert predictor["canaryTrafficPercent"] == 10
    assert "in raw deployment mode KServe ignores it" in text
    assert "ignores it" in RENDERERS.load("kserve").warning
    with pytest.raises(UsageError, match="from a storage"):
        files("kserve", replace(WORKLOAD, storage=""))


@pytest.mark.parametrize("engine", ["compose", "kubernetes", "kserve"])
def test_every_engine_gets_configs_that_the_server_reads(engine: str) -> None:
    made = {Path(name).name: text for name, text in files(engine).items()}
    (model,) = read_config_text(made["models.config"]) or ()
    assert (model.name, model.base_path) == ("My_model.v2", "/models/My_model.v2")
    assert read_monitoring(made["monitoring.config"]).enable
    assert read_batching(made["batching.config"]).max_batch_size == 32
    without = {Path(name).name for name in files(engine, replace(WORKLOAD, batching=""))}
    assert "batching.config" not in without


def test_configs_in_the_map_are_those_beside_it() -> None:
    assert kubernetes()["ConfigMap"]["data"] == WORKLOAD.configs


def row(batch_size: int, call_ms: float) -> Measurement:
    return Measurement(Key("times", "grpc", batch_size, Threads(1, 1)), rounds=(array("q", [int(call_ms * 1e6)] * 9),))


def test_batches_are_as_large_as_pays_and_wait_as_long_as_one_call() -> None:
    text = batching_text([row(1, 2.0), row(8, 4.0), row(32, 8.0), row(64, 40.0)], cores=2)
    found = read_batching(text)
    assert (found.max_batch_size, found.batch_timeout_micros, found.num_batch_threads) == (32, 2000, 2)
    assert found.allowed_batch_sizes == (1, 8, 32)
    assert "4000 rows/s at batch 32, 500 at batch 1" in text


@pytest.mark.parametrize("rows", [[], [row(1, 1.0)], [row(1, 1.0), row(8, 9.0)]])
def test_batches_that_do_not_pay_are_not_configured(rows: list[Measurement]) -> None:
    assert batching_text(rows, cores=2) == ""


@pytest.mark.parametrize("text", ["on", "No", "1.5", "null", "0x1f", "a: b", "- a", "", "2026-11-22", "~", "1e3", "n"])
def test_words_that_yaml_takes_for_something_else_are_quoted(text: str) -> None:
    assert yaml.safe_load(document({text: text, "list": [text, {"in": text}]})) == {
        text: text,
        "list": [text, {"in": text}],
    }


def test_lists_maps_and_texts_come_back_as_they_went(tmp_path: Path) -> None:
    value = {"a": [], "b": {}, "c": [{"d": [1, True, None, 0.5], "e": "two\nlines\n"}], "f": {"g": {"h": "ä"}}}
    assert yaml.safe_load(document(value, "a comment\n\nof lines")) == value


def test_memory_is_what_the_gate_measured(layout: Layout, published: Callable[[int], None], tmp_path: Path) -> None:
    published(1)
    with pytest.raises(UsageError, match="how much memory"):
        RenderRequest(layout.base_path, rate=10.0, capacity=5.0).workload()
    workload, written = render(
        "compose", RenderRequest(layout.base_path, 10.0, capacity=5.0, memory=100.0), tmp_path / "o"
    )
    assert (workload.replicas, workload.memory_bytes) == (2, 100_000_000)
    assert (tmp_path / "o" / "config" / "models.config") in written


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"rate": 0.0}, "--rate must be above 0"),
        ({"rate": float("inf")}, "--rate must be above 0"),
        ({"capacity": -1.0}, "--capacity must be above 0"),
        ({"memory": -1.0}, "--memory must be above 0"),
        ({"cpus": 0}, "--cpus must be above 0"),
        ({"canary_percent": 101}, "from 0 to 100"),
        ({"capacity": None}, "nothing says what one server can do"),
    ],
)
def test_figures_that_make_no_sense_are_told(layout: Layout, changed: dict[str, Any], message: str) -> None:
    request = RenderRequest(layout.base_path, rate=10.0, capacity=5.0, memory=100.0)
    with pytest.raises(UsageError, match=message):
        replace(request, **changed).workload()
