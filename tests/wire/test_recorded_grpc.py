"""Every recorded gRPC exchange: what wire decides alone is answered as recorded, the rest reaches the engine."""

import base64
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from toolkit.errors import ToolkitError
from toolkit.wire import plans, plans_examples, protos, rpc, rpc_examples, rpc_models
from toolkit.wire.signatures import ServedSignature

CASES: list[dict[str, Any]] = json.loads(
    (Path(__file__).resolve().parents[1] / "golden" / "data" / "grpc.json").read_text()
)
Signatures = Mapping[str, ServedSignature]

# Errors that depend on which models there are, or on what happens when the model runs.
OF_THE_ENGINE = (
    "Servable not found for request: ",
    "Unrecognized servable version label: ",
    "ModelSpec has no name specified.",
    "Could not find ",
    "Node 'NoOp' (type: 'NoOp', num of outputs: 0) does not have output 0",
    "Name: <unknown>, ",
    "Expected output Tensor shape",
)


def predict(body: bytes, served: Mapping[str, Signatures]) -> None:
    request = rpc.decode_predict_request(body)
    if request.target.model in served:
        plans.plan_predict(served[request.target.model], request)


def classify(body: bytes, served: Mapping[str, Signatures]) -> None:
    request = rpc_examples.decode_classify_request(body)
    if request.target.model in served:
        plans_examples.plan_classify(served[request.target.model], request)


def regress(body: bytes, served: Mapping[str, Signatures]) -> None:
    request = rpc_examples.decode_regress_request(body)
    if request.target.model in served:
        plans_examples.plan_regress(served[request.target.model], request)


def multi(body: bytes, served: Mapping[str, Signatures]) -> None:
    request = rpc_examples.decode_multi_request(body)
    plans_examples.plan_multi(served[rpc_examples.multi_target(request).model], request)


def metadata(body: bytes, _: Mapping[str, Signatures]) -> None:
    plans.check_metadata(rpc_models.decode_metadata_request(body))


def status(body: bytes, _: Mapping[str, Signatures]) -> None:
    rpc_models.decode_status_request(body)


DECIDE: dict[str, Callable[[bytes, Mapping[str, Signatures]], None]] = {
    rpc.PREDICT: predict,
    rpc.CLASSIFY: classify,
    rpc.REGRESS: regress,
    rpc.MULTI_INFERENCE: multi,
    rpc.GET_MODEL_METADATA: metadata,
    rpc.GET_MODEL_STATUS: status,
}


def plain(details: str) -> str:
    """Details without the marker and the white space that the server adds at random."""
    return re.sub(r"\s+", "", re.sub(r"goo\.gle/debug\w+\s*", "", details))


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in CASES if case["method"] in DECIDE])
def test_a_recorded_request_is_a_message_or_the_recorded_error(
    case: dict[str, Any], served: Mapping[str, Signatures]
) -> None:
    body = base64.b64decode(case["request_b64"])
    try:
        DECIDE[case["method"]](body, served)
    except ToolkitError as error:
        answer = rpc.status_of(error)
        assert (answer.code.name, plain(answer.details)) == (case.get("code"), plain(case.get("details", "")))
    else:
        assert "code" not in case or case["details"].startswith(OF_THE_ENGINE)


def rewritten_metadata(body: bytes) -> bytes:
    return rpc_models.encode_metadata_response(*rpc_models.decode_metadata_response(body))


REWRITE: dict[str, tuple[Callable[[bytes], bytes], Any]] = {
    rpc.PREDICT: (
        lambda body: rpc.encode_predict_response(rpc.decode_predict_response(body)),
        protos.PredictResponse,
    ),
    rpc.CLASSIFY: (
        lambda body: rpc_examples.encode_classify_response(rpc_examples.decode_classify_response(body)),
        protos.ClassificationResponse,
    ),
    rpc.REGRESS: (
        lambda body: rpc_examples.encode_regress_response(rpc_examples.decode_regress_response(body)),
        protos.RegressionResponse,
    ),
    rpc.MULTI_INFERENCE: (
        lambda body: rpc_examples.encode_multi_response(rpc_examples.decode_multi_response(body)),
        protos.MultiInferenceResponse,
    ),
    rpc.GET_MODEL_METADATA: (rewritten_metadata, protos.GetModelMetadataResponse),
    rpc.GET_MODEL_STATUS: (
        lambda body: rpc_models.encode_status_response(rpc_models.decode_status_response(body)),
        protos.GetModelStatusResponse,
    ),
}


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in CASES if "response_b64" in case])
def test_a_recorded_answer_read_and_written_again_is_the_same(case: dict[str, Any]) -> None:
    rewrite, kind = REWRITE[case["method"]]
    recorded = base64.b64decode(case["response_b64"])
    written = rewrite(recorded)
    if kind is protos.GetModelMetadataResponse:
        # The map inside stands in an Any, whose bytes have no fixed order.
        assert metadata_of(written) == metadata_of(recorded)
    else:
        assert kind.FromString(written) == kind.FromString(recorded)
    if "varies" not in case:
        assert written == recorded


def metadata_of(body: bytes) -> tuple[Any, dict[str, Any]]:
    target, signatures = rpc_models.decode_metadata_response(body)
    return target, {name: signature.proto for name, signature in signatures.items()}


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=case["name"]) for case in CASES if case["method"] == rpc.PREDICT]
)
def test_a_recorded_predict_request_sent_on_asks_the_same(case: dict[str, Any]) -> None:
    body = base64.b64decode(case["request_b64"])
    try:
        request = rpc.decode_predict_request(body)
        feed = dict(request.feed)
    except ToolkitError:
        return
    again = rpc.decode_predict_request(rpc.encode_predict_request(request))
    assert (again.target, again.output_filter) == (request.target, request.output_filter)
    assert {name: (array.shape, array.tolist()) for name, array in again.feed.items()} == {
        name: (array.shape, array.tolist()) for name, array in feed.items()
    }
