"""The text files that a server is started with, batching, monitoring and TLS, to plain data.

tensorflow-serving-api leaves their protobufs out, so their fields are declared here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, wrappers_pb2

from toolkit.wire.protos import Message, parse_text

_PACKAGE = "tensorflow.serving"
_FIELD = descriptor_pb2.FieldDescriptorProto
_INT64, _BOOL, _STRING = _FIELD.TYPE_INT64, _FIELD.TYPE_BOOL, _FIELD.TYPE_STRING
_WRAPPED_INT64 = ".google.protobuf.Int64Value"

# Name, number, type: a scalar's number, or the name of a message.
_MESSAGES: Mapping[str, Sequence[tuple[str, int, int | str]]] = {
    "BatchingParameters": (
        ("max_batch_size", 1, _WRAPPED_INT64),
        ("batch_timeout_micros", 2, _WRAPPED_INT64),
        ("max_enqueued_batches", 3, _WRAPPED_INT64),
        ("num_batch_threads", 4, _WRAPPED_INT64),
        ("thread_pool_name", 5, ".google.protobuf.StringValue"),
        ("allowed_batch_sizes", 6, _INT64),
        ("pad_variable_length_inputs", 7, _BOOL),
        ("enable_large_batch_splitting", 8, ".google.protobuf.BoolValue"),
        ("max_execution_batch_size", 9, _WRAPPED_INT64),
    ),
    "PrometheusConfig": (("enable", 1, _BOOL), ("path", 2, _STRING)),
    "MonitoringConfig": (("prometheus_config", 1, f".{_PACKAGE}.PrometheusConfig"),),
    "SSLConfig": (
        ("server_key", 1, _STRING),
        ("server_cert", 2, _STRING),
        ("custom_ca", 3, _STRING),
        ("client_verify", 4, _BOOL),
    ),
}
_REPEATED = frozenset({"allowed_batch_sizes"})
_PROMETHEUS_PATH = "/monitoring/prometheus/metrics"


@dataclass(frozen=True, slots=True)
class BatchingParameters:
    """How requests are gathered into batches; None where the file says nothing and the scheduler's default counts."""

    max_batch_size: int | None = None
    batch_timeout_micros: int | None = None
    max_enqueued_batches: int | None = None
    num_batch_threads: int | None = None
    thread_pool_name: str | None = None
    allowed_batch_sizes: tuple[int, ...] = ()
    pad_variable_length_inputs: bool = False
    enable_large_batch_splitting: bool | None = None
    max_execution_batch_size: int | None = None


@dataclass(frozen=True, slots=True)
class MonitoringConfig:
    """Whether the server shows Prometheus metrics, and where."""

    enable: bool = False
    path: str = _PROMETHEUS_PATH


@dataclass(frozen=True, slots=True)
class TlsConfig:
    """Key, certificate and CA as PEM text, and whether a client has to show a certificate of that CA."""

    server_key: str
    server_cert: str
    custom_ca: str = ""
    client_verify: bool = False


def read_batching(text: str) -> BatchingParameters:
    """What a --batching_parameters_file, or a model's batching_params.pbtxt, says.

    Raises:
        WireError: the text is no BatchingParameters; says where.
    """
    proto = parse_text(_kind("BatchingParameters"), text)
    wrapped = {
        name: getattr(proto, name).value if proto.HasField(name) else None
        for name, _, kind in _MESSAGES["BatchingParameters"]
        if isinstance(kind, str)
    }
    return BatchingParameters(
        allowed_batch_sizes=tuple(proto.allowed_batch_sizes),
        pad_variable_length_inputs=proto.pad_variable_length_inputs,
        **wrapped,
    )


def read_monitoring(text: str) -> MonitoringConfig:
    """What a --monitoring_config_file says.

    Raises:
        WireError: the text is no MonitoringConfig; says where.
    """
    proto = parse_text(_kind("MonitoringConfig"), text).prometheus_config
    return MonitoringConfig(proto.enable, proto.path or _PROMETHEUS_PATH)


def read_tls(text: str) -> TlsConfig:
    """What a --ssl_config_file says.

    Raises:
        WireError: the text is no SSLConfig; says where.
    """
    proto = parse_text(_kind("SSLConfig"), text)
    return TlsConfig(proto.server_key, proto.server_cert, proto.custom_ca, proto.client_verify)


def _kind(name: str) -> Any:
    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"{_PACKAGE}.{name}"))


@cache
def _pool() -> Any:
    # A pool of its own: another package may bring these messages under their real names.
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    file = descriptor_pb2.FileDescriptorProto(
        name="server_settings.proto",
        package=_PACKAGE,
        syntax="proto3",
        dependency=[wrappers_pb2.DESCRIPTOR.name],
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field_name, number, kind in fields:
            _declare(message, field_name, number, kind)
    pool.Add(file)
    return pool


def _declare(message: Message, name: str, number: int, kind: int | str) -> None:
    field = message.field.add(name=name, number=number, label=_FIELD.LABEL_OPTIONAL)
    if name in _REPEATED:
        field.label = _FIELD.LABEL_REPEATED
    if isinstance(kind, str):
        field.type, field.type_name = _FIELD.TYPE_MESSAGE, kind
    else:
        field.type = kind
