"""TensorFlow Serving's flags and our own: a table, and an argument list brought into one form."""

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from toolkit.errors import UsageError

CORES = os.cpu_count() or 1


class Kind(Enum):
    """What a flag's value is."""

    BOOL = "bool"
    INT = "int"
    FLOAT = "float"
    TEXT = "text"
    SECONDS = "duration"


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag.

    Args:
        idle: why it changes nothing here; empty for one that does.
        least: the smallest number that makes sense.
        most: the largest one.
    """

    name: str
    kind: Kind
    default: bool | int | float | str | None
    help: str
    idle: str = ""
    least: float | None = None
    most: float | None = None

    @property
    def field(self) -> str:
        """The name in code."""
        return self.name.replace("-", "_")

    def check(self, value: Any) -> None:
        """Holds a number against its bounds.

        Raises:
            UsageError: it is outside of them.
        """
        low, high = self.least, self.most
        if value is None or ((low is None or value >= low) and (high is None or value <= high)):
            return
        wanted = [f"{words} {bound:g}" for words, bound in (("at least", low), ("at most", high)) if bound is not None]
        usual = f"; the default is {self.default:g}" if isinstance(self.default, int | float) else ""
        raise UsageError(f"--{self.name}={value} makes no sense", hint=f"give {' and '.join(wanted)}{usual}")


_LAST_PORT = 65535
_AUTO = "the runtimes choose their threads"
_DEVICE = "this server runs on the CPU"
_PLATFORM = "every platform here is TensorFlow's"
_OTHER = "the real server's own machinery"

# In the order of the real server's --help.
TENSORFLOW_SERVING = (
    Flag("port", Kind.INT, 8500, "TCP port of gRPC; 0 is any free one, a negative one none.", most=_LAST_PORT),
    Flag("grpc_socket_path", Kind.TEXT, "", "UNIX socket of gRPC, besides the port."),
    Flag(
        "rest_api_port",
        Kind.INT,
        None,
        "TCP port of REST; 0 is any free one. [default: 8501 with TARGET, else none]",
        most=_LAST_PORT,
    ),
    Flag("rest_api_num_threads", Kind.INT, 4 * CORES, "REST requests that run at the same time.", least=1),
    Flag("rest_api_timeout_in_ms", Kind.INT, 30000, "When a REST request is given up; 0 never."),
    Flag("rest_api_enable_cors_support", Kind.BOOL, False, "CORS headers in REST answers."),
    Flag("enable_batching", Kind.BOOL, False, "Gather requests into batches."),
    Flag("allow_version_labels_for_unavailable_models", Kind.BOOL, False, "A new label may name an unloaded version."),
    Flag("batching_parameters_file", Kind.TEXT, "", "BatchingParameters as text."),
    Flag("enable_per_model_batching_parameters", Kind.BOOL, False, "batching_params.pbtxt beside each model."),
    Flag("model_config_file", Kind.TEXT, "", "ModelServerConfig as text: which models to serve."),
    Flag("model_config_file_poll_wait_seconds", Kind.INT, 0, "How often that file is read again; 0 never."),
    Flag("model_name", Kind.TEXT, "default", "Name of the one model at --model_base_path."),
    Flag("model_base_path", Kind.TEXT, "", "The directory of its versions."),
    Flag("num_load_threads", Kind.INT, 0, "Versions loaded at the same time.", least=0),
    Flag("num_unload_threads", Kind.INT, 0, "", idle="a version is unloaded on a thread of its own"),
    Flag("max_num_load_retries", Kind.INT, 5, "Further attempts to load a version that failed."),
    Flag("load_retry_interval_micros", Kind.INT, 60_000_000, "Time between them."),
    Flag("file_system_poll_wait_seconds", Kind.INT, 1, "How often base paths are looked at; 0 once."),
    Flag("flush_filesystem_caches", Kind.BOOL, True, "", idle="the system's own judgement is better"),
    Flag("tensorflow_session_parallelism", Kind.INT, 0, "Threads of a call; 0 is one: calls share the cores.", least=0),
    Flag("tensorflow_session_config_file", Kind.TEXT, "", "", idle=_AUTO),
    Flag("tensorflow_intra_op_parallelism", Kind.INT, 0, "The same, where that one is 0.", least=0),
    Flag("tensorflow_inter_op_parallelism", Kind.INT, 0, "", idle=_AUTO),
    Flag("use_alts_credentials", Kind.BOOL, False, "", idle="ALTS exists only inside Google's cloud"),
    Flag("ssl_config_file", Kind.TEXT, "", "SSLConfig as text: TLS for gRPC and REST; read again when it changes."),
    Flag("platform_config_file", Kind.TEXT, "", "", idle=_PLATFORM),
    Flag("per_process_gpu_memory_fraction", Kind.FLOAT, 0.0, "", idle=_DEVICE),
    Flag("saved_model_tags", Kind.TEXT, "serve", "Tags of the graph that is loaded, with commas between."),
    Flag("grpc_channel_arguments", Kind.TEXT, "", "As in grpc.max_connection_age_ms=2000, with commas between."),
    Flag("grpc_max_threads", Kind.INT, 4 * CORES, "gRPC requests that run at the same time.", least=1),
    Flag("enable_model_warmup", Kind.BOOL, True, "Replay a version's recorded requests before it answers."),
    Flag("num_request_iterations_for_warmup", Kind.INT, 0, "How often each of them is replayed.", least=0),
    Flag("version", Kind.BOOL, False, "Print the version and end."),
    Flag("monitoring_config_file", Kind.TEXT, "", "MonitoringConfig as text: where Prometheus reads metrics."),
    Flag("remove_unused_fields_from_bundle_metagraph", Kind.BOOL, True, "", idle=_OTHER),
    Flag("prefer_tflite_model", Kind.BOOL, False, "Take model.tflite where a SavedModel's directory has one too."),
    Flag("num_tflite_pools", Kind.INT, CORES, "Interpreters of a TFLite model, a pool each.", least=1),
    Flag("num_tflite_interpreters_per_pool", Kind.INT, 1, "Interpreters in each pool.", least=1),
    Flag("enable_signature_method_name_check", Kind.BOOL, False, "Refuse signatures of another method."),
    Flag("xla_cpu_compilation_enabled", Kind.BOOL, False, "", idle="the bundle decides what is compiled"),
    Flag("xla_gpu_compilation_enabled", Kind.BOOL, False, "", idle=_DEVICE),
    Flag("enable_profiler", Kind.BOOL, True, "", idle="there is no profiler service"),
    Flag("thread_pool_factory_config_file", Kind.TEXT, "", "", idle=_AUTO),
    Flag("mixed_precision", Kind.TEXT, "", "", idle="an artifact is served as it was proven"),
    Flag("skip_initialize_tpu", Kind.BOOL, False, "", idle=_DEVICE),
    Flag("enable_grpc_healthcheck_service", Kind.BOOL, False, "The standard gRPC health service."),
    Flag("enable_serialization_as_tensor_content", Kind.BOOL, False, "Answer Predict with tensor_content."),
)
OWN = (
    Flag("host", Kind.TEXT, "127.0.0.1", "The address to listen on."),
    Flag("max-queue", Kind.INT, 1000, "Requests that wait for a thread; one more is refused at once.", least=0),
    Flag("max-message-mb", Kind.FLOAT, 2047.0, "The largest request, in MB.", least=0.001),
    Flag("drain-timeout", Kind.SECONDS, 30.0, "How long requests in flight may take after SIGTERM.", least=0),
    Flag("strict-start", Kind.BOOL, False, "Do not start unless every model loads."),
    Flag("runtime", Kind.TEXT, "saved_model", "saved_model, tflite, onnx, or fastest."),
    Flag("allow-lossy", Kind.BOOL, False, "Let --runtime fastest choose quantized artifacts."),
    Flag("allow-unsafe-ops", Kind.BOOL, False, "Load graphs that touch files or run Python."),
    Flag("transport", Kind.TEXT, "fast", "fast, or public for grpcio's servicer API."),
)
FLAGS = (*TENSORFLOW_SERVING, *OWN)
_BY_OPTION = {f"--{flag.name}": flag for flag in FLAGS}


_Values = Mapping[str, Any]


def _no_rest(values: _Values) -> bool:
    port = values["rest_api_port"]
    return bool(port < 0) if port is not None else values["target"] is None


# Flags, why they change nothing beside others, and when that is so.
_IN_VAIN: tuple[tuple[Collection[str], str, Callable[[_Values], bool]], ...] = (
    (("model_name",), "TARGET names what is served", lambda values: values["target"] is not None),
    (
        ("model_name", "model_base_path"),
        "--model_config_file names what is served",
        lambda values: bool(values["model_config_file"]),
    ),
    (
        ("model_config_file_poll_wait_seconds",),
        "there is no --model_config_file to read again",
        lambda values: not values["model_config_file"],
    ),
    (
        ("enable_per_model_batching_parameters",),
        "nothing is batched without --enable_batching",
        lambda values: not values["enable_batching"],
    ),
    (
        ("rest_api_num_threads", "rest_api_timeout_in_ms", "rest_api_enable_cors_support", "monitoring_config_file"),
        "there is no REST without --rest_api_port",
        _no_rest,
    ),
    (
        ("num_request_iterations_for_warmup",),
        "there is no warm-up with --enable_model_warmup=false",
        lambda values: not values["enable_model_warmup"],
    ),
    (
        ("allow_lossy",),
        "it is --runtime fastest that chooses among artifacts",
        lambda values: values["runtime"] != "fastest",
    ),
)


def in_vain(given: Collection[str], values: _Values) -> Iterator[tuple[Flag, str]]:
    """The flags that change nothing, and why.

    Args:
        given: the fields of those to be judged.
        values: all flags by field, and TARGET or None as `target`.
    """
    for flag in FLAGS:
        reasons = [flag.idle] if flag.idle else []
        reasons += [why for fields, why, is_so in _IN_VAIN if flag.field in fields and is_so(values)]
        if flag.field in given and reasons:
            yield flag, reasons[0]


def explicit_bools(arguments: Sequence[str]) -> list[str]:
    """The arguments with `--b` spelt out as `--b=true`, so that every flag has a value.

    The word after a flag of another kind is its value, even if it looks like a flag.
    """
    spelt, words = [], iter(arguments)
    for word in words:
        flag = _BY_OPTION.get(word)
        spelt.append(f"{word}=true" if flag is not None and flag.kind is Kind.BOOL else word)
        if flag is not None and flag.kind is not Kind.BOOL:
            spelt += [value for value in (next(words, None),) if value is not None]
    return spelt


def channel_arguments(text: str) -> list[tuple[str, int | str]]:
    """`a=1,b=c` as gRPC's channel arguments; whole numbers are numbers."""
    pairs = [part.partition("=") for part in text.split(",") if part]
    return [(name, int(value) if value.lstrip("-").isdigit() else value) for name, _, value in pairs]
