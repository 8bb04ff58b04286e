"""Every recorded REST exchange: what wire decides alone is answered to the byte, the rest reaches the engine."""

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from toolkit.core.tensors import Outputs
from toolkit.errors import ToolkitError
from toolkit.wire import plans, plans_examples, rest, rest_examples, rest_models, rest_outputs, rest_predict
from toolkit.wire.rest import Call
from toolkit.wire.signatures import ServedSignature

DATA = Path(__file__).resolve().parents[1] / "golden" / "data"
CASES: list[Any] = [
    pytest.param(file, case, id=f"{file}: {case['name']}")
    for file in ("rest", "rest_batching", "rest_cors", "rest_plain", "rest_sigcheck")
    for case in json.loads((DATA / f"{file}.json").read_text())
]
Case = dict[str, Any]
Signatures = Mapping[str, ServedSignature]

# Errors that depend on which models there are, or on what happens when the model runs.
OF_THE_ENGINE = (
    "Servable not found for request: ",
    "Unrecognized servable version label: ",
    "Could not find ",
    "Name: <unknown>, ",
    "assertion failed: ",
    "Integer division by zero",
    "Batching Run() input tensors ",
    "Expected output Tensor shape",
    "Expected Tensor shape: [batch_size num_classes]",
    "Tensor name: sum has no shape information",
)


def body_of(body: dict[str, str] | None) -> bytes:
    if body is None:
        return b""
    return body["text"].encode() if "text" in body else base64.b64decode(body["base64"])


def decided(file: str, case: Case, served: Mapping[str, Signatures]) -> rest.Answer | None:
    """The answer that wire gives without looking at a model; None where the engine is asked."""
    request = case["request"]
    try:
        call = rest.route(request["method"], request["path"], (request.get("headers") or {}).get("Origin", ""))
        if isinstance(call, rest.Answer):
            return call
        if request["method"] == "POST":
            plan(call, body_of(request["body"]), served, check_method=file == "rest_sigcheck")
    except ToolkitError as error:
        return rest.error_answer(error)
    return None


def plan(call: rest.RestCall, body: bytes, served: Mapping[str, Signatures], *, check_method: bool) -> None:
    signatures = served.get(call.target.model)
    if call.call is Call.PREDICT:
        read = rest_predict.decode_predict_request(call.target, body)
        if signatures:
            request, _ = read.bind(signatures)
            plans.plan_predict(signatures, request)
        return
    examples = rest_examples.decode_examples_request(call.target, body)
    planner = plans_examples.plan_classify if call.call is Call.CLASSIFY else plans_examples.plan_regress
    if signatures:
        planner(signatures, examples, check_method=check_method)


@pytest.mark.parametrize(("file", "case"), CASES)
def test_a_recorded_request_is_a_message_or_the_recorded_error(
    file: str, case: Case, served: Mapping[str, Signatures]
) -> None:
    recorded, body = case["response"], body_of(case["response"]["body"])
    answer = decided(file, case, served)
    if answer is None:
        assert recorded["status"] == 200 or json.loads(body)["error"].startswith(OF_THE_ENGINE)
        return
    assert answer.status == recorded["status"]
    assert answer.content_type == dict(recorded["headers"])["Content-Type"]
    if b"goo.gle/debug" in body:
        # Here the server adds a marker and white space at random.
        assert b"".join(answer.body.split())[:60] == b"".join(body.split())[:60]
    elif case["request"]["method"] != "HEAD":
        assert answer.body == body


def replies(call: Call) -> list[Any]:
    """The recorded answers of one call that hold a result."""
    found = []
    for parameter in CASES:
        _, case = parameter.values
        made = case["request"]["method"] in ("GET", "POST") and case["response"]["status"] == 200
        if made and call_of(case).call is call:
            found.append(pytest.param(case, id=case["name"]))
    return found


def call_of(case: Case) -> rest.RestCall:
    call = rest.route(case["request"]["method"], case["request"]["path"])
    assert isinstance(call, rest.RestCall)
    return call


@pytest.mark.parametrize("case", replies(Call.PREDICT))
def test_a_recorded_prediction_read_and_written_again_is_the_same(case: Case, served: Mapping[str, Signatures]) -> None:
    call, body = call_of(case), body_of(case["response"]["body"])
    asked = rest_predict.decode_predict_request(call.target, body_of(case["request"]["body"]))
    signature = served[call.target.model][asked.target.signature_name]
    answer = rest_outputs.decode_predict_response(asked.target, signature, body)
    layout = rest_predict.Layout.ROWS if "instances" in asked.document else rest_predict.Layout.COLUMNS
    written = rest_outputs.encode_predict_response(in_recorded_order(answer.outputs, body), layout)
    assert written == body


def in_recorded_order(outputs: Outputs, body: bytes) -> Outputs:
    """The outputs in the order of a recorded answer; the server's maps have none."""
    places = {name: body.find(f'"{name}":'.encode()) for name in outputs}
    return {name: outputs[name] for name in sorted(outputs, key=lambda name: places[name])}


@pytest.mark.parametrize("case", replies(Call.CLASSIFY))
def test_a_recorded_classification_read_and_written_again_is_the_same(case: Case) -> None:
    body = body_of(case["response"]["body"])
    answer = rest_examples.decode_classify_response(call_of(case).target, body)
    assert rest_examples.encode_classify_response(answer) == body


@pytest.mark.parametrize("case", replies(Call.REGRESS))
def test_a_recorded_regression_read_and_written_again_is_the_same(case: Case) -> None:
    body = body_of(case["response"]["body"])
    answer = rest_examples.decode_regress_response(call_of(case).target, body)
    assert rest_examples.encode_regress_response(answer) == body


@pytest.mark.parametrize("case", replies(Call.STATUS))
def test_a_recorded_status_read_and_written_again_is_the_same(case: Case) -> None:
    body = body_of(case["response"]["body"])
    assert rest_models.encode_status_response(rest_models.decode_status_response(body)) == body


@pytest.mark.parametrize("case", replies(Call.METADATA))
def test_recorded_metadata_read_and_written_again_is_the_same(case: Case, served: Mapping[str, Signatures]) -> None:
    body = body_of(case["response"]["body"])
    target, signatures = rest_models.decode_metadata_response(body)
    written = rest_models.encode_metadata_response(target, signatures)
    assert json.loads(written) == json.loads(body)
    # The text differs only in the order of members, which the server's maps leave to chance, and in "0" for "0.0".
    assert sorted(written.replace(b"0.0", b"0").replace(b",", b"").split()) == sorted(body.replace(b",", b"").split())
    assert target.version is not None
    if target.version != 123:
        assert signatures == dict(served[target.model])
