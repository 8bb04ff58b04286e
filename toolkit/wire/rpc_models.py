"""gRPC: GetModelMetadata, GetModelStatus and HandleReloadConfigRequest between bytes and messages."""

from collections.abc import Mapping

from toolkit.errors import ToolkitError, WireError
from toolkit.wire import protos
from toolkit.wire.configs import fill_models, read_models
from toolkit.wire.messages import MetadataRequest, ModelStatus, ReloadRequest, State, Target, VersionStatus
from toolkit.wire.protos import Message, parse, serialize
from toolkit.wire.rpc import fill_spec, parse_request, request_target, status_of, target_of
from toolkit.wire.signatures import ServedSignature, read_signatures

_SIGNATURES = "signature_def"


def decode_metadata_request(body: bytes) -> MetadataRequest:
    """What a server reads in a call of GetModelMetadata.

    Raises:
        WireError: the bytes are no request, or name no model.
    """
    proto = parse_request(protos.GetModelMetadataRequest, body)
    return MetadataRequest(request_target(proto), tuple(proto.metadata_field))


def encode_metadata_request(request: MetadataRequest) -> bytes:
    """What a client sends to GetModelMetadata."""
    proto = protos.GetModelMetadataRequest(metadata_field=request.fields)
    fill_spec(proto.model_spec, request.target)
    return serialize(proto)


def encode_metadata_response(target: Target, signatures: Mapping[str, ServedSignature]) -> bytes:
    """What a server answers to GetModelMetadata; the target names the model and the version that was found."""
    proto = protos.GetModelMetadataResponse()
    fill_spec(proto.model_spec, Target(target.model, target.version))
    proto.metadata[_SIGNATURES].Pack(signature_map(signatures))
    return serialize(proto)


def signature_map(signatures: Mapping[str, ServedSignature]) -> Message:
    """The SignatureDefMap that metadata shows in both protocols."""
    proto = protos.SignatureDefMap()
    for name, signature in signatures.items():
        proto.signature_def[name].CopyFrom(signature.proto)
    return proto


def decode_metadata_response(body: bytes) -> tuple[Target, dict[str, ServedSignature]]:
    """What a client reads in the answer of GetModelMetadata: the target with its version, and the signatures.

    Raises:
        WireError: the bytes are no answer, or hold no signatures.
    """
    proto = parse(protos.GetModelMetadataResponse, body)
    if _SIGNATURES not in proto.metadata:
        raise WireError("the model's metadata holds no signatures", hint="check what the peer speaks")
    packed = parse(protos.SignatureDefMap, proto.metadata[_SIGNATURES].value)
    return target_of(proto.model_spec), read_signatures(packed.signature_def)


def decode_status_request(body: bytes) -> Target:
    """What a server reads in a call of GetModelStatus; its label counts for nothing.

    Raises:
        WireError: the bytes are no request, or name no model.
    """
    return request_target(parse_request(protos.GetModelStatusRequest, body))


def encode_status_request(target: Target) -> bytes:
    """What a client sends to GetModelStatus."""
    proto = protos.GetModelStatusRequest()
    fill_spec(proto.model_spec, target)
    return serialize(proto)


def encode_status_response(status: ModelStatus) -> bytes:
    """What a server answers to GetModelStatus."""
    return serialize(status_proto(status))


def status_proto(status: ModelStatus) -> Message:
    """The GetModelStatusResponse that both protocols show."""
    proto = protos.GetModelStatusResponse()
    for version in status.versions:
        added = proto.model_version_status.add(version=version.version, state=version.state.value)
        added.status.SetInParent()
        added.status.error_code = version.error_code
        added.status.error_message = version.error_message
    return proto


def decode_status_response(body: bytes) -> ModelStatus:
    """What a client reads in the answer of GetModelStatus.

    Raises:
        WireError: the bytes are no answer.
    """
    return read_status(parse(protos.GetModelStatusResponse, body))


def read_status(proto: Message) -> ModelStatus:
    """The states in a GetModelStatusResponse; a state that nobody knows is UNKNOWN."""
    known = {state.value: state for state in State}
    return ModelStatus(
        tuple(
            VersionStatus(
                one.version,
                known.get(one.state, State.UNKNOWN),
                one.status.error_code,
                one.status.error_message,
            )
            for one in proto.model_version_status
        )
    )


def decode_reload_request(body: bytes) -> ReloadRequest:
    """What a server reads in a call of HandleReloadConfigRequest.

    Raises:
        WireError: the bytes are no request.
    """
    proto = parse_request(protos.ReloadConfigRequest, body)
    return ReloadRequest(read_models(proto.config), tuple(proto.metric_names))


def encode_reload_request(request: ReloadRequest) -> bytes:
    """What a client sends to HandleReloadConfigRequest."""
    proto = protos.ReloadConfigRequest(metric_names=request.metrics)
    if request.models is not None:
        fill_models(proto.config, request.models)
    return serialize(proto)


def encode_reload_text(config_text: str) -> bytes:
    """What a client sends to HandleReloadConfigRequest to have served what a models.config says, to the last field.

    Raises:
        WireError: the text is no config.
    """
    return serialize(protos.ReloadConfigRequest(config=protos.parse_text(protos.ModelServerConfig, config_text)))


def encode_reload_response(error: ToolkitError | None, metrics: Mapping[str, int]) -> bytes:
    """What a server answers to HandleReloadConfigRequest: how it went, and by how much each asked metric grew."""
    proto = protos.ReloadConfigResponse()
    proto.status.SetInParent()
    if error is not None:
        status = status_of(error)
        proto.status.error_code, proto.status.error_message = status.code, error.message
    for name, increase in metrics.items():
        proto.metric.add(name=name, int64_value_increase=increase)
    return serialize(proto)


def decode_reload_response(body: bytes) -> tuple[int, str]:
    """The code (0 is OK) and message a client reads in the answer of HandleReloadConfigRequest.

    Raises:
        WireError: the bytes are no answer.
    """
    proto = parse(protos.ReloadConfigResponse, body)
    return proto.status.error_code, proto.status.error_message
