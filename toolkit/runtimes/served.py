"""Asks a served model over gRPC or REST, as its clients do: TensorFlow Serving's APIs, or our own server's."""

import http.client
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from toolkit.core.plugins import Opening, Runtime
from toolkit.core.runner import FunctionRunner, Runner
from toolkit.core.tensors import Feed, Outputs, as_array
from toolkit.errors import ToolkitError, UnavailableError, WireError, nearest
from toolkit.wire import rest, rest_models, rest_outputs, rest_predict, rpc, rpc_models
from toolkit.wire.endpoints import Remote, parse_url
from toolkit.wire.messages import Endpoint, MetadataRequest, ModelStatus, PredictRequest, Protocol, Target
from toolkit.wire.rest import Call
from toolkit.wire.signatures import ServedSignature

TIMEOUT_S = 30.0


@contextmanager
def open_remote(remote: Remote, timeout_s: float = TIMEOUT_S) -> Iterator[Runner]:
    """A Runner over one signature of a served model.

    Raises:
        UnavailableError: nobody answers there.
        ServingError: the server has no such model or signature, in its own words.
    """
    opened = _OPENERS[remote.endpoint.protocol]
    with opened(remote, timeout_s) as runner:
        yield runner


@contextmanager
def _open_grpc(remote: Remote, timeout_s: float) -> Iterator[Runner]:
    import grpc  # late: it takes a while to load, and REST needs none

    with open_channel(remote.endpoint) as channel:

        def call(method: str, body: bytes) -> bytes:
            try:
                return bytes(channel.unary_unary(method)(body, timeout=timeout_s))
            except grpc.RpcError as error:
                raise _unreachable(remote, rpc.error_of(error.code().value[0], error.details() or "")) from error

        request = rpc_models.encode_metadata_request(MetadataRequest(remote.target))
        _, signatures = rpc_models.decode_metadata_response(call(rpc.GET_MODEL_METADATA, request))
        signature = _signature(signatures, remote)
        predict = channel.unary_unary(rpc.PREDICT)

        def run(feed: Feed) -> Outputs:
            body = rpc.encode_predict_request(PredictRequest(remote.target, feed))
            try:
                return dict(rpc.decode_predict_response(predict(body, timeout=timeout_s)).outputs)
            except grpc.RpcError as error:
                raise _unreachable(remote, rpc.error_of(error.code().value[0], error.details() or "")) from error

        yield FunctionRunner("grpc", signature.as_signature(), run)


def ask_status(endpoint: Endpoint, target: Target, timeout_s: float = TIMEOUT_S) -> ModelStatus:
    """The states of a model's versions at a gRPC endpoint.

    Raises:
        UnavailableError: nobody answers there.
        ServingError: nothing is known of the model, in the server's words.
    """
    import grpc

    with open_channel(endpoint) as channel:
        try:
            body = channel.unary_unary(rpc.GET_MODEL_STATUS)(
                rpc_models.encode_status_request(target), timeout=timeout_s
            )
        except grpc.RpcError as error:
            failure = rpc.error_of(error.code().value[0], error.details() or "")
            raise _unreachable(Remote(endpoint, target), failure) from error
    return rpc_models.decode_status_response(body)


def open_channel(endpoint: Endpoint) -> Any:
    """A gRPC channel to an endpoint, with its TLS files and message limit."""
    import grpc

    limits = [(f"grpc.max_{way}_message_length", endpoint.max_message_bytes) for way in ("receive", "send")]
    if not endpoint.tls:
        return grpc.insecure_channel(endpoint.address, options=limits)
    files = (endpoint.tls_ca, endpoint.tls_key, endpoint.tls_cert)
    try:
        contents = [None if file is None else file.read_bytes() for file in files]
    except OSError as error:
        raise UnavailableError(
            f"a TLS file cannot be read: {error}", hint="check --tls-ca, --tls-cert, --tls-key"
        ) from error
    return grpc.secure_channel(endpoint.address, grpc.ssl_channel_credentials(*contents), options=limits)


@contextmanager
def _open_rest(remote: Remote, timeout_s: float) -> Iterator[Runner]:
    connection = _connection(remote.endpoint, timeout_s)

    def call(kind: Call, body: bytes | None) -> bytes:
        headers = {"Content-Type": rest.JSON} if body is not None else {}
        try:
            connection.request(rest.method_of(kind), rest.path_of(kind, remote.target), body, headers)
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise _unreachable(remote, UnavailableError(str(error) or type(error).__name__)) from error
        if answer.status != http.client.OK:
            raise rest.error_of(answer.status, content)
        return content

    _, signatures = rest_models.decode_metadata_response(call(Call.METADATA, None))
    served = _signature(signatures, remote)
    strings = [name for name, info in served.outputs.items() if info.dtype == "string"]

    def run(feed: Feed) -> Outputs:
        body = rest_predict.encode_predict_request(PredictRequest(remote.target, feed))
        content = call(Call.PREDICT, body)
        outputs = dict(rest_outputs.decode_predict_response(remote.target, served, content).outputs)
        return outputs | {name: as_array(outputs[name], "string") for name in strings if name in outputs}

    try:
        yield FunctionRunner("rest", served.as_signature(), run)
    finally:
        connection.close()


def _connection(endpoint: Endpoint, timeout_s: float) -> http.client.HTTPConnection:
    if not endpoint.tls:
        return http.client.HTTPConnection(endpoint.address, timeout=timeout_s)
    try:
        context = ssl.create_default_context(cafile=str(endpoint.tls_ca) if endpoint.tls_ca else None)
        if endpoint.tls_cert:
            context.load_cert_chain(endpoint.tls_cert, endpoint.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise UnavailableError(
            f"a TLS file cannot be read: {error}", hint="check --tls-ca, --tls-cert, --tls-key"
        ) from error
    return http.client.HTTPSConnection(endpoint.address, timeout=timeout_s, context=context)


def _signature(signatures: dict[str, ServedSignature], remote: Remote) -> ServedSignature:
    name = remote.target.signature_name
    if name not in signatures:
        raise WireError(f"{remote.target.model} has no signature '{name}'", hint=nearest(name, list(signatures)))
    return signatures[name]


def _unreachable(remote: Remote, error: ToolkitError) -> ToolkitError:
    if not isinstance(error, UnavailableError):
        return error
    return UnavailableError(
        f"{remote.endpoint.address} does not answer: {error.message}", hint="is the server up, and the address right?"
    )


_OPENERS = {Protocol.GRPC: _open_grpc, Protocol.REST: _open_rest}


def _open(opening: Opening) -> Any:
    return open_remote(parse_url(opening.url))


RUNTIME = Runtime(name="served", opens=("endpoint",), open=_open, judges=False)
