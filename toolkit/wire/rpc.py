"""Predict between bytes and messages, for the server and for the client."""

from typing import Any

from toolkit.errors import WireError
from toolkit.wire import protos
from toolkit.wire.messages import PredictRequest, PredictResponse, Target
from toolkit.wire.protos import parse, serialize
from toolkit.wire.tensor_proto import decode_tensor, fill_tensor

PREDICT_METHOD = "/tensorflow.serving.PredictionService/Predict"


def encode_predict_request(request: PredictRequest) -> bytes:
    """What a client sends to Predict."""
    return serialize(_predict_proto(request))


def _predict_proto(request: PredictRequest) -> Any:
    proto = protos.PredictRequest(output_filter=request.output_filter)
    fill_spec(proto.model_spec, request.target)
    for name, array in request.feed.items():
        fill_tensor(proto.inputs[name], array, content=True)
    return proto


def fill_spec(spec: Any, target: Target) -> None:
    """Writes a target into a ModelSpec."""
    spec.name = target.model
    spec.signature_name = target.signature
    if target.version is not None:
        spec.version.value = target.version
    elif target.label is not None:
        spec.version_label = target.label


def target_of(spec: Any) -> Target:
    """The target that a ModelSpec names."""
    choice = spec.WhichOneof("version_choice")
    return Target(
        spec.name,
        spec.version.value if choice == "version" else None,
        spec.version_label if choice == "version_label" else None,
        spec.signature_name,
    )


def encode_predict_response(response: PredictResponse, *, content: bool = False) -> bytes:
    """What a server answers to Predict; typed value lists unless the server was asked for tensor_content."""
    proto = protos.PredictResponse()
    fill_spec(proto.model_spec, response.target)
    for name, array in response.outputs.items():
        fill_tensor(proto.outputs[name], array, content=content)
    return serialize(proto)


def decode_predict_response(body: bytes) -> PredictResponse:
    """What a client reads in the answer of Predict.

    Raises:
        WireError: the bytes are no answer, or an output is no tensor.
    """
    proto = parse(protos.PredictResponse, body)
    outputs = {}
    for name in proto.outputs:
        try:
            outputs[name] = decode_tensor(proto.outputs[name])
        except WireError as error:
            raise WireError(f"output '{name}': {error.message}", hint=error.hint) from error
    return PredictResponse(target_of(proto.model_spec), outputs)


def encode_warmup_record(request: PredictRequest) -> bytes:
    """One record of assets.extra/tf_serving_warmup_requests: the request as a PredictionLog."""
    log = protos.PredictionLog()
    log.predict_log.request.CopyFrom(_predict_proto(request))
    return serialize(log)
