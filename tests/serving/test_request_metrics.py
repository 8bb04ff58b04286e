"""TensorFlow Serving's metrics of requests say here what they say there; what else is counted has a name of ours."""

from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from toolkit.serving.metrics import Metrics, Observation
from toolkit.serving.rest_calls import API_NAMES, RestCalls
from toolkit.serving.timing import Timing
from toolkit.wire.codes import Code

COUNT, LATENCY = ":tensorflow:serving:request_count", ":tensorflow:serving:request_latency"
OURS = "tfx_request_seconds"
ORDER = ("model_name", "API", "api", "entrypoint", "status")
GRPC = ("Predict", "Classify", "Regress", "MultiInference", "GetModelStatus", "GetModelMetadata")


def samples(metrics: Metrics, family: str, ending: str = "_count") -> dict[tuple[str, ...], float]:
    """The values of one metric by the values of its labels."""
    families = {found.name: found for found in text_string_to_metric_families(metrics.page().decode())}
    found = [sample for sample in families[family].samples if sample.name == family + ending]
    assert all(sample.labels.keys() <= set(ORDER) for sample in found)
    return {tuple(sample.labels[name] for name in ORDER if name in sample.labels): sample.value for sample in found}


def counts(metrics: Metrics) -> dict[tuple[str, ...], float]:
    return samples(metrics, COUNT, "_total")  # the parser's own ending; the page has none


@pytest.fixture
def metrics() -> Metrics:
    """What every API counted, well and badly, over gRPC and REST; nobody knows the model `madeup`."""
    made = Metrics(lambda name: name == "m")
    for entrypoint, apis in (("GRPC", GRPC), ("REST", tuple(API_NAMES.values()))):
        for api in apis:
            for code in (Code.OK, Code.INVALID_ARGUMENT):
                for model in ("m", "madeup"):
                    made.observe(Observation(model, api, entrypoint, code, 2_000), Timing())
    return made


def test_requests_are_counted_as_the_real_server_counts_them(metrics: Metrics) -> None:
    # Three methods over gRPC, and over REST whatever was asked.
    assert counts(metrics) == {("m", "OK"): 3 + 5, ("m", "INVALID_ARGUMENT"): 3 + 5}


def test_latency_is_that_of_answers_alone_with_the_real_servers_labels(metrics: Metrics) -> None:
    expected = {("m", api, "GRPC"): 1.0 for api in ("Predict", "Classify", "Regress")}
    expected |= {("m", api, "REST"): 1.0 for api in ("predict", "classify", "regress")}
    assert samples(metrics, LATENCY) == expected | {("m", "", "REST"): 2.0}


def test_our_own_histogram_has_every_request_whatever_became_of_it(metrics: Metrics) -> None:
    found = samples(metrics, OURS)
    assert len(found) == 2 * (len(GRPC) + len(API_NAMES))
    assert found["m", "MultiInference", "GRPC", "INVALID_ARGUMENT"] == found["m", "GetModelStatus", "REST", "OK"] == 1
    assert samples(metrics, OURS, "_sum")["m", "Predict", "GRPC", "OK"] == pytest.approx(2e-6)


@pytest.mark.parametrize(
    ("method", "uri", "origin", "status"),
    [
        ("DELETE", "/v1/models/m", "", "INVALID_ARGUMENT"),
        ("OPTIONS", "/v1/models/m:predict", "", "FAILED_PRECONDITION"),
        ("OPTIONS", "/v1/models/m:predict", "https://a", "OK"),
        ("GET", "/nothing", "", None),
        ("TRACE", "/v1/models/m", "", None),
        ("GET", "/v1/models/m", "", None),  # counted when it is answered
    ],
)
def test_what_asks_for_no_model_is_counted_without_a_name(
    method: str, uri: str, origin: str, status: str | None
) -> None:
    metrics, engine = Metrics(), Any
    RestCalls(engine, metrics).routed(method, uri, origin)  # type: ignore[arg-type]  # nothing gets as far as it
    assert counts(metrics) == ({} if status is None else {("", status): 1})
