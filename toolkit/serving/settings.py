"""What the flags mean: the files they name, read and checked, and plain settings for the host."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from toolkit.core.plugins import RUNTIMES, SERVE
from toolkit.errors import UsageError, WireError, nearest
from toolkit.serving.fastest import FASTEST
from toolkit.serving.flags import FLAGS, channel_arguments
from toolkit.serving.http_server import RestListening
from toolkit.serving.loading import Loader
from toolkit.serving.loads import Lifecycle, Load
from toolkit.serving.rpc_server import RpcListening
from toolkit.serving.scheme import Scheme
from toolkit.serving.servables import Loading
from toolkit.serving.tls import TlsFile
from toolkit.serving.transport import TRANSPORTS, Capacity
from toolkit.wire import lifecycle_wording
from toolkit.wire.configs import check_models, read_config_text, says_nothing
from toolkit.wire.messages import ModelConfig
from toolkit.wire.settings import BatchingParameters, MonitoringConfig, read_batching, read_monitoring

Read = TypeVar("Read")
_MB = 1_000_000
# Requests side by side use the cores better than threads inside each of them (docs/performance.md).
_THREADS_PER_REQUEST = 1
_MAX_MESSAGE_BYTES = 2**31 - 1


@dataclass(frozen=True)
class Settings:
    """Everything a host needs.

    Args:
        scheme: how requests are batched; None runs each by itself.
        config_file: read again every config_poll_s, unless that is 0.
    """

    models: Sequence[ModelConfig]
    loader: Load
    lifecycle: Lifecycle
    rpc: RpcListening
    rest: RestListening | None
    transport: str
    rpc_capacity: Capacity
    rest_capacity: Capacity
    scheme: Scheme | None
    per_model_batching: bool
    check_methods: bool
    tensor_content: bool
    strict_start: bool
    drain_timeout_s: float
    config_file: Path | None
    config_poll_s: float


def defaults() -> dict[str, Any]:
    """Every flag's field and default."""
    return {flag.field: flag.default for flag in FLAGS}


def settings_of(values: Mapping[str, Any], models: Sequence[ModelConfig] | None = None) -> Settings:
    """The settings that flags stand for.

    Args:
        values: some of the flags by field; the others have their defaults.
        models: what to serve, in place of --model_config_file and --model_base_path.

    Raises:
        ToolkitError: a value or a file makes no sense; nothing was started.
    """
    flags = _Flags(defaults() | dict(values))
    for flag in FLAGS:
        flag.check(flags.values[flag.field])
    tls = TlsFile(Path(flags.text("ssl_config_file"))) if flags.text("ssl_config_file") else None
    if tls is not None:
        tls.current()
    message_bytes = int(min(_MAX_MESSAGE_BYTES, flags.number("max_message_mb") * _MB))
    queue, inline = int(flags.number("max_queue")), not flags.on("enable_batching")
    return Settings(
        models=models if models is not None else read_models(flags),
        loader=_loader(flags),
        lifecycle=_lifecycle(flags),
        rpc=_rpc(flags, tls),
        rest=_rest(flags, tls),
        transport=_transport(flags.text("transport")),
        rpc_capacity=Capacity(int(flags.number("grpc_max_threads")), queue, message_bytes, inline),
        rest_capacity=Capacity(int(flags.number("rest_api_num_threads")), queue, message_bytes, inline),
        scheme=_scheme(flags),
        per_model_batching=flags.on("enable_per_model_batching_parameters"),
        check_methods=flags.on("enable_signature_method_name_check"),
        tensor_content=flags.on("enable_serialization_as_tensor_content"),
        strict_start=flags.on("strict_start"),
        drain_timeout_s=flags.number("drain_timeout"),
        config_file=Path(flags.text("model_config_file")) if flags.text("model_config_file") else None,
        config_poll_s=flags.number("model_config_file_poll_wait_seconds") if models is None else 0.0,
    )


@dataclass(frozen=True)
class _Flags:
    """Values by field, each asked for as what it is."""

    values: Mapping[str, Any]

    def on(self, field: str) -> bool:
        return bool(self.values[field])

    def number(self, field: str) -> float:
        return float(self.values[field])

    def text(self, field: str) -> str:
        return str(self.values[field])


def read_models(flags: _Flags) -> tuple[ModelConfig, ...]:
    """The models of --model_config_file or --model_base_path, checked.

    Raises:
        UsageError: neither is there.
        ToolkitError: in TensorFlow Serving's words.
    """
    if flags.text("model_config_file"):
        file = Path(flags.text("model_config_file"))
        # The real server starts on a config that says nothing, and waits for one that does; only a reload refuses it.
        if _read(file, "model_config_file", says_nothing):
            return ()
        models = read_config_file(file)
        check_models(models)
        return models
    if not flags.text("model_base_path"):
        raise UsageError(
            "Both server_options.model_base_path and server_options.model_config_file are empty!",
            hint="tfx-export serve MODEL, or exported/, or --model_base_path, or --model_config_file",
        )
    models = (ModelConfig(flags.text("model_name"), flags.text("model_base_path")),)
    check_models(models)
    return models


def read_config_file(path: Path) -> tuple[ModelConfig, ...]:
    """The models in a --model_config_file; whoever takes them checks them, by what is served already.

    Raises:
        ToolkitError: the file is missing, is no config, or holds no list of models.
    """
    models = _read(path, "model_config_file", read_config_text)
    if models is None:
        raise lifecycle_wording.no_list_of_models()
    return models


def _read(path: Path, flag: str, read: Callable[[str], Read]) -> Read:
    try:
        return read(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise UsageError(f"--{flag}: {path}; {reason}", hint="give a file of protobuf text") from error
    except WireError as error:
        raise UsageError(f"--{flag}: {path}: {error.message}", hint=error.hint) from error


def _loader(flags: _Flags) -> Loader:
    threads = int(flags.number("tensorflow_session_parallelism")) or int(
        flags.number("tensorflow_intra_op_parallelism")
    )
    runners = int(flags.number("num_tflite_pools") * flags.number("num_tflite_interpreters_per_pool"))
    runtime, runtimes = flags.text("runtime"), [FASTEST, *RUNTIMES.names()]
    if runtime not in runtimes:
        raise UsageError(f"there is no runtime '{runtime}'", hint=nearest(runtime, runtimes))
    loading = Loading(
        runtime=runtime,
        prefer_tflite=flags.on("prefer_tflite_model"),
        threads=threads or _THREADS_PER_REQUEST,
        tags=_tags(flags.text("saved_model_tags")),
        runners=max(1, runners),
    )
    return Loader(
        loading,
        warm_up=flags.on("enable_model_warmup"),
        iterations=max(1, int(flags.number("num_request_iterations_for_warmup"))),
        allow_unsafe=flags.on("allow_unsafe_ops"),
        allow_lossy=flags.on("allow_lossy"),
        own_batching=flags.on("enable_batching") and flags.on("enable_per_model_batching_parameters"),
    )


def _tags(text: str) -> tuple[str, ...]:
    """A SavedModel's graph has exactly these, in any order; none at all stands for the usual one."""
    return tuple(dict.fromkeys(text.split(","))) if text else SERVE


def _lifecycle(flags: _Flags) -> Lifecycle:
    return Lifecycle(
        poll_wait_s=flags.number("file_system_poll_wait_seconds"),
        load_threads=max(1, int(flags.number("num_load_threads"))),
        max_load_retries=int(flags.number("max_num_load_retries")),
        retry_interval_s=flags.number("load_retry_interval_micros") / 1e6,
        allow_labels_for_unavailable=flags.on("allow_version_labels_for_unavailable_models"),
    )


def _rpc(flags: _Flags, tls: TlsFile | None) -> RpcListening:
    port = int(flags.number("port"))
    return RpcListening(
        host=flags.text("host"),
        port=port if port >= 0 else None,
        socket_path=Path(flags.text("grpc_socket_path")).absolute() if flags.text("grpc_socket_path") else None,
        tls=tls,
        arguments=channel_arguments(flags.text("grpc_channel_arguments")),
        health=flags.on("enable_grpc_healthcheck_service"),
    )


def _rest(flags: _Flags, tls: TlsFile | None) -> RestListening | None:
    port = flags.values["rest_api_port"]
    if port is None or int(port) < 0:
        return None
    if int(port) and int(port) == int(flags.number("port")):
        raise UsageError(f"--port and --rest_api_port are both {port}", hint="give each its own")
    monitoring = MonitoringConfig()
    if flags.text("monitoring_config_file"):
        monitoring = _read(Path(flags.text("monitoring_config_file")), "monitoring_config_file", read_monitoring)
    return RestListening(
        host=flags.text("host"),
        port=int(port),
        tls=tls,
        cors=flags.on("rest_api_enable_cors_support"),
        # As in the real server, which sets a time-out only above 0 (HttpRestApiHandler's constructor).
        timeout_s=flags.number("rest_api_timeout_in_ms") / 1e3 if flags.number("rest_api_timeout_in_ms") > 0 else None,
        metrics_path=monitoring.path if monitoring.enable else None,
    )


def _transport(name: str) -> str:
    if name not in TRANSPORTS:
        raise UsageError(f"there is no transport '{name}'", hint=nearest(name, TRANSPORTS))
    return name


def _scheme(flags: _Flags) -> Scheme | None:
    file = flags.text("batching_parameters_file")
    if not flags.on("enable_batching"):
        if file:
            raise UsageError(
                "server_options.batching_parameters_file is set without setting server_options.enable_batching "
                "to true.",
                hint="add --enable_batching",
            )
        return None
    if not file:
        return Scheme.of(BatchingParameters())
    return Scheme.of(_read(Path(file), "batching_parameters_file", read_batching))
