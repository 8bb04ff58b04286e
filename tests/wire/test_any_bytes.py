"""Whatever arrives is a message or a WireError, never anything else."""

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.errors import ServingError, ToolkitError, WireError
from toolkit.wire import (
    plans,
    plans_examples,
    protos,
    rest,
    rest_examples,
    rest_models,
    rest_outputs,
    rest_predict,
    rpc,
    rpc_examples,
    rpc_models,
    signatures,
    tensor_proto,
)
from toolkit.wire.json_reader import read_json
from toolkit.wire.messages import Target
from toolkit.wire.signatures import ServedSignature
from toolkit.wire.tflite_signatures import read_tflite

DATA = Path(__file__).resolve().parents[1] / "golden" / "data"
TARGET = Target("m")
Decoder = Callable[[bytes], Any]

RPC_DECODERS: list[Decoder] = [
    rpc.decode_predict_request,
    rpc.decode_predict_response,
    rpc_examples.decode_classify_request,
    rpc_examples.decode_classify_response,
    rpc_examples.decode_regress_request,
    rpc_examples.decode_regress_response,
    rpc_examples.decode_multi_request,
    rpc_examples.decode_multi_response,
    rpc_examples.decode_warmup_record,
    rpc_models.decode_metadata_request,
    rpc_models.decode_metadata_response,
    rpc_models.decode_status_request,
    rpc_models.decode_status_response,
    rpc_models.decode_reload_request,
    rpc_models.decode_reload_response,
    signatures.read_saved_model,
]
REST_DECODERS: list[Decoder] = [
    read_json,
    lambda body: rest_predict.decode_predict_request(TARGET, body),
    lambda body: rest_examples.decode_examples_request(TARGET, body),
    lambda body: rest_examples.decode_classify_response(TARGET, body),
    lambda body: rest_examples.decode_regress_response(TARGET, body),
    rest_models.decode_status_response,
    rest_models.decode_metadata_response,
]


def recorded_bytes() -> list[bytes]:
    """Bodies that are almost right are the best start for wrong ones."""
    starts = [b'{"instances": [{"a": [1.0, 2], "b": {"b64": "YQ=="}}], "signature_name": "s"}', b'{"inputs": [NaN]}']
    cases = json.loads((DATA / "rest.json").read_text())
    bodies = [body for case in cases for body in (case["request"]["body"], case["response"]["body"])]
    return starts + [body["text"].encode() for body in bodies if body and len(body.get("text", " " * 400)) < 400]


@st.composite
def broken(draw: st.DrawFn, starts: list[bytes]) -> bytes:
    body = bytearray(draw(st.sampled_from(starts)))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(body)))
        body[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(body)


def recorded_calls() -> list[bytes]:
    import base64

    return [base64.b64decode(case["request_b64"]) for case in json.loads((DATA / "grpc.json").read_text())]


def refusal(action: Callable[[], object]) -> ToolkitError | None:
    """The error that an action ends with, if it is one that a request may cause."""
    try:
        action()
    except (WireError, ServingError) as error:
        return error
    return None


def names(decoders: list[Decoder]) -> list[Any]:
    return [pytest.param(decoder, id=f"{index} {decoder.__name__}") for index, decoder in enumerate(decoders)]


@pytest.mark.parametrize("decode", names(RPC_DECODERS))
@given(body=st.binary(max_size=60) | broken(recorded_calls()))
def test_grpc_bytes(decode: Decoder, body: bytes) -> None:
    error = refusal(lambda: decode(body))
    assert error is None or (isinstance(error, WireError) and rpc.status_of(error).code)


@given(body=st.binary(max_size=60) | broken([path.read_bytes() for path in DATA.rglob("model.tflite")]))
def test_a_tflite_file_has_signatures_or_is_refused(body: bytes) -> None:
    error = refusal(lambda: read_tflite(body))
    assert error is None or rpc.status_of(error).code


@pytest.mark.parametrize("decode", names(REST_DECODERS))
@given(body=st.binary(max_size=60) | broken(recorded_bytes()))
def test_rest_bytes(decode: Decoder, body: bytes) -> None:
    error = refusal(lambda: decode(body))
    assert error is None or (isinstance(error, WireError) and rest.error_answer(error).status == 400)


@given(body=broken(recorded_calls()), model=st.sampled_from(["types", "hp2", "cls", "hp2tf2"]))
def test_a_predict_request_is_a_plan_or_the_servers_words(
    body: bytes, model: str, served: Mapping[str, Mapping[str, ServedSignature]]
) -> None:
    error = refusal(lambda: plans.plan_predict(served[model], rpc.decode_predict_request(body)))
    assert error is None or rpc.status_of(error).code


@given(body=st.binary(max_size=80))
def test_a_tensor_is_an_array_or_a_wire_error(body: bytes) -> None:
    error = refusal(lambda: tensor_proto.decode_tensor(protos.parse(protos.TensorProto, body)))
    assert error is None or isinstance(error, WireError)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**65), 2**65) | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["b64", "x", "a", "b", "s"]), inner, max_size=3)
    ),
    max_leaves=8,
)
BODIES = st.fixed_dictionaries(
    {},
    optional={
        "instances": VALUES | st.lists(VALUES, min_size=1, max_size=4),
        "inputs": VALUES,
        "signature_name": st.sampled_from(["id_string", "bytes", "matrix", "int_div", "no_input", "id_float16", "nope"])
        | st.just(5),
        "examples": VALUES,
        "context": VALUES,
    },
)


def predicted(body: bytes, served: Mapping[str, ServedSignature]) -> bytes:
    """What a model that gives its feed back would answer."""
    request, layout = rest_predict.decode_predict_request(TARGET, body).bind(served)
    return rest_outputs.encode_predict_response(plans.plan_predict(served, request).feed, layout)


@given(document=BODIES)
def test_a_predict_body_is_a_plan_or_the_servers_words(
    document: dict[str, Any], served: Mapping[str, Mapping[str, ServedSignature]]
) -> None:
    error = refusal(lambda: predicted(json.dumps(document).encode(), served["types"]))
    assert error is None or rest.error_answer(error).status in (400, 501)


@given(document=BODIES)
def test_a_body_of_examples_is_a_plan_or_the_servers_words(
    document: dict[str, Any], served: Mapping[str, Mapping[str, ServedSignature]]
) -> None:
    body = json.dumps(document).encode()
    error = refusal(
        lambda: plans_examples.plan_classify(served["cls"], rest_examples.decode_examples_request(TARGET, body))
    )
    assert error is None or rest.error_answer(error).status == 400


@pytest.mark.parametrize("name", ["bytes", "any_shape", "id_float16", "empty_out"])
@given(document=BODIES | VALUES)
def test_an_answer_is_outputs_or_a_wire_error(
    name: str, document: Any, served: Mapping[str, Mapping[str, ServedSignature]]
) -> None:
    body = json.dumps({"outputs": document, "predictions": document}).encode()
    error = refusal(lambda: rest_outputs.decode_predict_response(TARGET, served["types"][name], body))
    assert error is None or isinstance(error, WireError)


PATHS = st.text(max_size=20) | st.from_regex(
    r"\A/v1/models/[a-z%0-9:/]{0,12}(/versions/[0-9]{0,22}|/labels/[a-z%]{0,4})?(:predict|/metadata)?\Z"
)


@given(method=st.sampled_from(["GET", "POST", "OPTIONS", "PUT"]), uri=PATHS)
def test_a_path_is_a_call_an_answer_or_a_wire_error(method: str, uri: str) -> None:
    error = refusal(lambda: rest.route(method, uri))
    assert error is None or rest.error_answer(error).status == 400


@given(st.integers(0, 999), st.binary(max_size=30) | broken(recorded_bytes()))
def test_a_failed_answer_is_an_error_of_ours(status: int, body: bytes) -> None:
    assert isinstance(rest.error_of(status, body), ToolkitError)
    assert isinstance(rpc.error_of(status, body.decode("latin-1")), ToolkitError)


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'{"instances":[', b'{"inputs":{"x":'])
@pytest.mark.parametrize("depth", [300, 2000, 20_000])
def test_deep_nesting_is_answered(
    opening: bytes, depth: int, served: Mapping[str, Mapping[str, ServedSignature]]
) -> None:
    closings = {b"[": b"]", b'{"a":': b"}", b'{"instances":[': b"]}", b'{"inputs":{"x":': b"}}"}
    for name in ("id_float32", "id_string"):
        nested = opening * depth + b"1" + closings[opening] * depth
        whole = b'{"signature_name": "%s", "inputs": %s}' % (name.encode(), nested)
        for body in (whole, whole.replace(b"inputs", b"instances", 1), whole[:-1], nested):
            error = refusal(partial(predicted, body, served["types"]))
            assert error is not None
            assert len(error.message) < 1000
