"""Asks a served model over gRPC or REST, as its clients do: TensorFlow Serving's APIs, or our own server's."""

import http.client
import ssl
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from time import perf_counter_ns
from typing import Any, NamedTuple

from toolkit.core.plugins import Opening, Runtime
from toolkit.core.runner import FunctionRunner, Runner
from toolkit.core.tensors import Feed, Outputs, as_array
from toolkit.errors import ServingError, ToolkitError, UnavailableError, WireError, nearest
from toolkit.wire import rest, rest_models, rest_outputs, rest_predict, rpc, rpc_models
from toolkit.wire.endpoints import Remote, parse_url
from toolkit.wire.messages import Endpoint, MetadataRequest, ModelStatus, PredictRequest, Protocol, Target
from toolkit.wire.rest import Call
from toolkit.wire.signatures import ServedSignature

TIMEOUT_S = 30.0


class Moments(NamedTuple):
    """When a call began, was encoded, was answered and was decoded, in ns, and what the server told of its own time."""

    begun: int
    encoded: int
    answered: int
    decoded: int
    told: Any


Watch = Callable[[Moments], object]


@contextmanager
def open_remote(remote: Remote, timeout_s: float = TIMEOUT_S, watch: Watch = lambda moments: None) -> Iterator[Runner]:
    """A Runner over one signature of a served model; `watch` hears of every call that went well.

    Raises:
        UnavailableError: nobody answers there.
        ServingError: the server has no such model or signature, in its own words.
    """
    opened = _OPENERS[remote.endpoint.protocol]
    with opened(remote, timeout_s, watch) as runner:
        yield runner


@contextmanager
def _open_grpc(remote: Remote, timeout_s: float, watch: Watch) -> Iterator[Runner]:
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
            begun = perf_counter_ns()
            body = rpc.encode_predict_request(PredictRequest(remote.target, feed))
            encoded = perf_counter_ns()
            try:
                content, call = predict.with_call(body, timeout=timeout_s)
            except grpc.RpcError as error:
                raise _unreachable(remote, rpc.error_of(error.code().value[0], error.details() or "")) from error
            answered = perf_counter_ns()
            outputs = dict(rpc.decode_predict_response(content).outputs)
            watch(Moments(begun, encoded, answered, perf_counter_ns(), call.trailing_metadata()))
            return outputs

        yield FunctionRunner("grpc", signature.as_signature(), run)


def ask_status(endpoint: Endpoint, target: Target, timeout_s: float = TIMEOUT_S) -> ModelStatus:
    """The states of a model's versions at a gRPC endpoint.

    Raises:
        UnavailableError: nobody answers there.
        ServingError: nothing is known of the model, in the server's words.
    """
    request = rpc_models.encode_status_request(target)
    return rpc_models.decode_status_response(_ask(Remote(endpoint, target), rpc.GET_MODEL_STATUS, request, timeout_s))


def ask_label(endpoint: Endpoint, target: Target, timeout_s: float = TIMEOUT_S) -> int | None:
    """The version that a label stands for at a gRPC endpoint; None while it stands for none that answers.

    Raises:
        UnavailableError: nobody answers there.
    """
    request = rpc_models.encode_metadata_request(MetadataRequest(target))
    try:
        body = _ask(Remote(endpoint, target), rpc.GET_MODEL_METADATA, request, timeout_s)
    except ServingError:
        return None
    return rpc_models.decode_metadata_response(body)[0].version


def ask_reload(endpoint: Endpoint, config_text: str, timeout_s: float = TIMEOUT_S) -> None:
    """Has a server serve what the text of a models.config says, in place of all that it serves.

    Raises:
        UnavailableError: nobody answers there.
        ServingError: it refused, in its words.
    """
    request = rpc_models.encode_reload_text(config_text)
    # Only an endpoint is asked; the model of the target names nothing.
    body = _ask(Remote(endpoint, Target("")), rpc.RELOAD_CONFIG, request, timeout_s)
    code, message = rpc_models.decode_reload_response(body)
    if code:
        raise rpc.error_of(code, message)


def _ask(remote: Remote, method: str, request: bytes, timeout_s: float) -> bytes:
    import grpc

    with open_channel(remote.endpoint) as channel:
        try:
            return bytes(channel.unary_unary(method)(request, timeout=timeout_s))
        except grpc.RpcError as error:
            raise _unreachable(remote, rpc.error_of(error.code().value[0], error.details() or "")) from error


def open_channel(endpoint: Endpoint) -> Any:
    """A gRPC channel to an endpoint, with its TLS files and message limit."""
    import grpc

    limits = [(f"grpc.max_{way}_message_length", endpoint.max_message_bytes) for way in ("receive", "send")]
    if not endpoint.tls:
        return grpc.insecure_channel(endpoint.address, options=limits)
    credentials = grpc.ssl_channel_credentials(*tls_contents(endpoint))
    return grpc.secure_channel(endpoint.address, credentials, options=limits)


def tls_contents(endpoint: Endpoint) -> tuple[bytes | None, ...]:
    """What stands in an endpoint's TLS files: CA, key, certificate; None where there is no such file.

    Raises:
        UnavailableError: a file cannot be read.
    """
    files = (endpoint.tls_ca, endpoint.tls_key, endpoint.tls_cert)
    try:
        return tuple(None if file is None else file.read_bytes() for file in files)
    except OSError as error:
        raise UnavailableError(
            f"a TLS file cannot be read: {error}", hint="check --tls-ca, --tls-cert, --tls-key"
        ) from error


@contextmanager
def _open_rest(remote: Remote, timeout_s: float, watch: Watch) -> Iterator[Runner]:
    with closing(_connection(remote.endpoint, timeout_s)) as connection:
        yield _rest_runner(connection, remote, watch)


def _rest_runner(connection: http.client.HTTPConnection, remote: Remote, watch: Watch) -> Runner:
    def call(kind: Call, body: bytes | None) -> tuple[bytes, str | None]:
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
        return content, answer.getheader("Server-Timing")

    _, signatures = rest_models.decode_metadata_response(call(Call.METADATA, None)[0])
    served = _signature(signatures, remote)
    strings = [name for name, info in served.outputs.items() if info.dtype == "string"]

    def run(feed: Feed) -> Outputs:
        begun = perf_counter_ns()
        body = rest_predict.encode_predict_request(PredictRequest(remote.target, feed))
        encoded = perf_counter_ns()
        content, told = call(Call.PREDICT, body)
        answered = perf_counter_ns()
        outputs = dict(rest_outputs.decode_predict_response(remote.target, served, content).outputs)
        outputs |= {name: as_array(outputs[name], "string") for name in strings if name in outputs}
        watch(Moments(begun, encoded, answered, perf_counter_ns(), told))
        return outputs

    return FunctionRunner("rest", served.as_signature(), run)


def _connection(endpoint: Endpoint, timeout_s: float) -> http.client.HTTPConnection:
    if not endpoint.tls:
        return http.client.HTTPConnection(endpoint.address, timeout=timeout_s)
    return http.client.HTTPSConnection(endpoint.address, timeout=timeout_s, context=tls_context(endpoint))


def tls_context(endpoint: Endpoint) -> ssl.SSLContext:
    """How REST reaches an endpoint over TLS.

    Raises:
        UnavailableError: a file cannot be read.
    """
    try:
        context = ssl.create_default_context(cafile=str(endpoint.tls_ca) if endpoint.tls_ca else None)
        if endpoint.tls_cert:
            context.load_cert_chain(endpoint.tls_cert, endpoint.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise UnavailableError(
            f"a TLS file cannot be read: {error}", hint="check --tls-ca, --tls-cert, --tls-key"
        ) from error
    return context


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
