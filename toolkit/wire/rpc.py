"""gRPC: Predict between bytes and messages, the status of an error, and what the other methods share."""

from dataclasses import dataclass
from typing import Any

from toolkit.errors import Fault, ServingError, ToolkitError, UnavailableError, WireError
from toolkit.wire import protos, wording
from toolkit.wire.codes import CODE_OF_FAULT, Code, fault_of
from toolkit.wire.dtypes import dtype_of
from toolkit.wire.messages import PredictRequest, PredictResponse, Target
from toolkit.wire.protos import Message, parse, serialize
from toolkit.wire.tensor_proto import TensorMap, fill_string_content, fill_tensor

PREDICT = "/tensorflow.serving.PredictionService/Predict"
CLASSIFY = "/tensorflow.serving.PredictionService/Classify"
REGRESS = "/tensorflow.serving.PredictionService/Regress"
MULTI_INFERENCE = "/tensorflow.serving.PredictionService/MultiInference"
GET_MODEL_METADATA = "/tensorflow.serving.PredictionService/GetModelMetadata"
GET_MODEL_STATUS = "/tensorflow.serving.ModelService/GetModelStatus"
RELOAD_CONFIG = "/tensorflow.serving.ModelService/HandleReloadConfigRequest"

_MAX_DETAILS_BYTES = 1024


@dataclass(frozen=True, slots=True)
class RpcStatus:
    """What a failed call ends with: gRPC's code and the details a client sees."""

    code: Code
    details: str


def status_of(error: ToolkitError) -> RpcStatus:
    """The status that tells a client of an error; long details are cut as the real server cuts them."""
    details = "" if isinstance(error, wording.SilentError) else error.message
    encoded = details.encode("utf-8", "replace")
    cut = "...TRUNCATED" if len(encoded) > _MAX_DETAILS_BYTES else ""
    return RpcStatus(CODE_OF_FAULT[error.fault], encoded[:_MAX_DETAILS_BYTES].decode("utf-8", "ignore") + cut)


def error_of(code: int, details: str) -> ToolkitError:
    """The error behind a status that a client was sent."""
    message = details or f"the server answered {Code(code).name if code in set(Code) else code}"
    if code == Code.UNAVAILABLE:
        return UnavailableError(message, hint="check that the server is up and its address and TLS files are right")
    return ServingError(message, hint="ask for the model's status and metadata", fault=fault_of(code))


def parse_request(kind: Any, body: bytes) -> Message:
    """The protobuf request in a call's bytes.

    Raises:
        SilentError: the bytes are none; the real server ends such a call without a word.
    """
    try:
        return parse(kind, body)
    except WireError as error:
        raise wording.SilentError(error.message, hint=error.hint, fault=Fault.INTERNAL) from error


def request_target(proto: Message) -> Target:
    """The target of a request.

    Raises:
        WireError: it has no ModelSpec.
    """
    if not proto.HasField("model_spec"):
        raise wording.missing_spec()
    return target_of(proto.model_spec)


def target_of(spec: Message) -> Target:
    """The target that a ModelSpec names."""
    choice = spec.WhichOneof("version_choice")
    return Target(
        spec.name,
        spec.version.value if choice == "version" else None,
        spec.version_label if choice == "version_label" else None,
        spec.signature_name,
    )


def fill_spec(spec: Message, target: Target) -> None:
    """Writes a target into a ModelSpec."""
    try:
        spec.SetInParent()
        spec.name = target.model
        spec.signature_name = target.signature
        if target.version is not None:
            spec.version.SetInParent()
            spec.version.value = target.version
        elif target.label is not None:
            spec.version_label = target.label
    except ValueError as error:
        raise WireError(f"{target} cannot be sent: {error}", hint="versions are below 2^63, names are text") from error


def encode_predict_request(request: PredictRequest) -> bytes:
    """What a client sends to Predict."""
    return serialize(_predict_request(request))


def _predict_request(request: PredictRequest) -> Message:
    proto = protos.PredictRequest(output_filter=request.output_filter)
    fill_spec(proto.model_spec, request.target)
    for name, array in request.feed.items():
        fill_tensor(proto.inputs[name], array, content=True)
    return proto


def decode_predict_request(body: bytes) -> PredictRequest:
    """What a server reads in a call of Predict; its feed decodes each array when it is asked for.

    Raises:
        WireError: the bytes are no request, or name no model.
    """
    return _read_predict(parse_request(protos.PredictRequest, body))


def _read_predict(proto: Message) -> PredictRequest:
    return PredictRequest(request_target(proto), TensorMap(proto.inputs), tuple(proto.output_filter))


def encode_predict_response(response: PredictResponse, *, content: bool = False) -> bytes:
    """What a server answers to Predict; typed value lists, unless it was told to answer with tensor_content."""
    proto = protos.PredictResponse()
    fill_spec(proto.model_spec, response.target)
    for name, array in response.outputs.items():
        if content and dtype_of(array).name == "string":
            fill_string_content(proto.outputs[name], array)
        else:
            fill_tensor(proto.outputs[name], array, content=content)
    return serialize(proto)


def decode_predict_response(body: bytes) -> PredictResponse:
    """What a client reads in the answer of Predict.

    Raises:
        WireError: the bytes are no answer, or an output is no tensor.
    """
    proto = parse(protos.PredictResponse, body)
    lazy, outputs = TensorMap(proto.outputs), {}
    for name in lazy:
        try:
            outputs[name] = lazy[name]
        except WireError as error:
            raise WireError(f"output '{name}': {error.message}", hint=error.hint) from error
    return PredictResponse(target_of(proto.model_spec), outputs)


def encode_warmup_record(request: PredictRequest) -> bytes:
    """One record of assets.extra/tf_serving_warmup_requests: the request as a PredictionLog."""
    log = protos.PredictionLog()
    log.predict_log.request.CopyFrom(_predict_request(request))
    return serialize(log)
