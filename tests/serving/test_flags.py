"""TensorFlow Serving's flags: every one is known, in every form, and what they name is read and checked."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from toolkit.errors import ServingError, ToolkitError, UsageError
from toolkit.serving.flags import FLAGS, OWN, TENSORFLOW_SERVING, Flag, Kind, channel_arguments, explicit_bools, in_vain
from toolkit.serving.loading import Loader
from toolkit.serving.settings import defaults, read_config_file, settings_of
from toolkit.wire.messages import Keep, ModelConfig

USAGE = (Path(__file__).resolve().parents[1] / "golden" / "data" / "tensorflow_model_server-flags.txt").read_text()
LISTED = re.findall(r"^\t--(\w+)=(\S*?)\s*\t(\w+)\t", USAGE, re.MULTILINE)
KINDS = {"int32": Kind.INT, "int64": Kind.INT, "bool": Kind.BOOL, "string": Kind.TEXT, "float": Kind.FLOAT}
# Those follow the machine, and the port of REST that is 0 there is none here; 0 is any free one.
OTHER_DEFAULTS = {"rest_api_num_threads", "grpc_max_threads", "num_tflite_pools", "rest_api_port"}
MODELS = [ModelConfig("m", "/m")]


@pytest.mark.parametrize(("name", "default", "kind"), LISTED)
def test_every_flag_of_the_real_server_is_here_with_its_kind_and_default(name: str, default: str, kind: str) -> None:
    flag = next(flag for flag in TENSORFLOW_SERVING if flag.name == name)
    assert flag.kind is KINDS[kind]
    if name not in OTHER_DEFAULTS:
        read: dict[Kind, Callable[[str], Any]] = {
            Kind.INT: int,
            Kind.FLOAT: float,
            Kind.BOOL: "true".__eq__,
            Kind.TEXT: lambda text: text.strip('"'),
        }
        assert flag.default == read[flag.kind](default)


def test_the_real_servers_take_underscores_and_our_own_dashes() -> None:
    assert {flag.name for flag in TENSORFLOW_SERVING} == {name for name, _, _ in LISTED}
    assert not any("-" in flag.name for flag in TENSORFLOW_SERVING)
    assert not any("_" in flag.name for flag in OWN)


@pytest.mark.parametrize(
    ("given", "spelt"),
    [
        (["--enable_batching", "mlp"], ["--enable_batching=true", "mlp"]),
        (["--enable_batching=false"], ["--enable_batching=false"]),
        (["--port", "1", "mlp"], ["--port", "1", "mlp"]),
        (["--port=1"], ["--port=1"]),
        (["--strict-start"], ["--strict-start=true"]),
        (["--model_name", "--enable_batching"], ["--model_name", "--enable_batching"]),
        (["--model_name"], ["--model_name"]),
        (["--nosuch", "--version"], ["--nosuch", "--version=true"]),
    ],
)
def test_a_flag_that_stands_alone_is_true(given: list[str], spelt: list[str]) -> None:
    assert explicit_bools(given) == spelt


@pytest.mark.parametrize(
    ("text", "found"),
    [("", []), ("a=1", [("a", 1)]), ("a.b=-2,c=x", [("a.b", -2), ("c", "x")]), ("a=1,", [("a", 1)])],
)
def test_channel_arguments_are_pairs(text: str, found: list[tuple[str, Any]]) -> None:
    assert channel_arguments(text) == found


def test_one_model_by_flags_or_many_by_a_file(tmp_path: Path) -> None:
    assert settings_of({"model_base_path": "/m"}).models == (ModelConfig("default", "/m"),)
    file = tmp_path / "models.config"
    file.write_text(
        'model_config_list { config { name: "a" base_path: "/a" model_platform: "tensorflow" '
        'model_version_policy { all {} } version_labels { key: "x" value: 2 } } }'
    )
    (model,) = settings_of({"model_config_file": str(file), "model_base_path": "ignored"}).models
    assert (model.name, model.base_path, model.policy.keep, dict(model.labels)) == ("a", "/a", Keep.ALL, {"x": 2})


@pytest.mark.parametrize("text", ["", "# later\n", "model_config_list {}"])
def test_a_config_that_says_nothing_starts_a_server_without_models(text: str, tmp_path: Path) -> None:
    file = tmp_path / "models.config"
    file.write_text(text)
    assert settings_of({"model_config_file": str(file)}).models == ()


def test_a_config_of_another_kind_is_refused_and_so_is_an_empty_one_as_a_reload(tmp_path: Path) -> None:
    file = tmp_path / "models.config"
    file.write_text("custom_model_config {}")
    with pytest.raises(ServingError, match="only legal to transition from one ModelConfigList"):
        settings_of({"model_config_file": str(file)})
    file.write_text("")
    with pytest.raises(ServingError, match="only legal to transition from one ModelConfigList"):
        read_config_file(file)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({}, "Both server_options.model_base_path and server_options.model_config_file are empty!"),
        ({"model_config_file": "/nonexistent"}, "/nonexistent; No such file or directory"),
        ({"model_name": "m", "model_base_path": "rel/path"}, "Expected model m to have an absolute path or URI"),
        ({"model_base_path": "/m", "batching_parameters_file": "f"}, "is set without setting"),
        ({"model_base_path": "/m", "enable_batching": True, "batching_parameters_file": "/no"}, "/no; No such file"),
        ({"model_base_path": "/m", "rest_api_port": 0, "monitoring_config_file": "/no"}, "/no; No such file"),
        ({"model_base_path": "/m", "ssl_config_file": "/no"}, "--ssl_config_file /no is not usable"),
        ({"model_base_path": "/m", "transport": "carrier-pigeon"}, "there is no transport 'carrier-pigeon'"),
        ({"model_base_path": "/m", "runtime": "fastets"}, "there is no runtime 'fastets'"),
        ({"model_base_path": "/m", "max_queue": -1}, "--max-queue=-1 makes no sense"),
        ({"model_base_path": "/m", "max_message_mb": 0.0}, "--max-message-mb=0.0 makes no sense"),
        ({"model_base_path": "/m", "max_message_mb": float("nan")}, "--max-message-mb=nan makes no sense"),
        ({"model_base_path": "/m", "drain_timeout": -1.0}, "--drain-timeout=-1.0 makes no sense"),
        ({"model_base_path": "/m", "grpc_max_threads": 0}, "--grpc_max_threads=0 makes no sense"),
        ({"model_base_path": "/m", "rest_api_num_threads": 0}, "--rest_api_num_threads=0 makes no sense"),
        ({"model_base_path": "/m", "rest_api_port": 65536}, "--rest_api_port=65536 makes no sense"),
    ],
)
def test_what_makes_no_sense_is_said_before_anything_starts(flags: dict[str, Any], message: str) -> None:
    with pytest.raises((UsageError, ServingError)) as wrong:
        settings_of(flags)
    assert message in wrong.value.message
    assert wrong.value.hint


BAD_BATCHING = ["max_batch_size { value: 0 }", "batch_timeout_micros { value: -5 }", "num_batch_threads { value: 0 }"]


@pytest.mark.parametrize("text", [*BAD_BATCHING, "max_batch_size { value: 4 } allowed_batch_sizes: 2", "nonsense"])
def test_bad_batching_parameters_are_an_error_at_the_start(text: str, tmp_path: Path) -> None:
    file = tmp_path / "batching.config"
    file.write_text(text)
    with pytest.raises(ToolkitError):
        settings_of({"enable_batching": True, "batching_parameters_file": str(file)}, MODELS)


@pytest.mark.parametrize("flag", [flag for flag in FLAGS if flag.least is not None or flag.most is not None])
def test_a_number_may_be_as_small_and_as_large_as_its_bounds(flag: Flag) -> None:
    for bound, beyond in ((flag.least, -1), (flag.most, 1)):
        if bound is not None:
            flag.check(bound)
            with pytest.raises(UsageError, match=f"--{flag.name}=.* makes no sense") as wrong:
                flag.check(bound + beyond)
            assert f"{bound:g}" in wrong.value.hint


@pytest.mark.parametrize(("given_ms", "timeout_s"), [(0, None), (-1, None), (1, 0.001)])
def test_a_timeout_of_rest_that_is_no_time_is_none(given_ms: int, timeout_s: float | None) -> None:
    settings = settings_of({"rest_api_port": 0, "rest_api_timeout_in_ms": given_ms}, MODELS)
    assert settings.rest is not None
    assert settings.rest.timeout_s == timeout_s


def test_a_limit_without_end_is_the_largest_one_that_a_message_may_have() -> None:
    assert settings_of({"max_message_mb": float("inf")}, MODELS).rpc_capacity.max_message_bytes == 2**31 - 1


REST = {"rest_api_port": 0}
FILE = {"model_config_file": "f"}


@pytest.mark.parametrize(
    ("flag", "vain", "well"),
    [
        ("model_name", {"target": "mlp"}, {}),
        ("model_name", FILE, {}),
        ("model_base_path", FILE, {}),
        ("model_config_file_poll_wait_seconds", {"target": "mlp"}, FILE),
        ("enable_per_model_batching_parameters", {}, {"enable_batching": True}),
        ("monitoring_config_file", {}, REST),
        ("monitoring_config_file", {"target": "mlp", "rest_api_port": -1}, {"target": "mlp"}),
        ("rest_api_timeout_in_ms", {}, REST),
        ("num_request_iterations_for_warmup", {"enable_model_warmup": False}, {}),
        ("allow_lossy", {"runtime": "onnx"}, {"runtime": "fastest"}),
    ],
)
def test_a_flag_that_changes_nothing_beside_others_is_told(
    flag: str, vain: dict[str, Any], well: dict[str, Any]
) -> None:
    alone: dict[str, Any] = defaults() | {"target": None}
    assert [(found.field, bool(why)) for found, why in in_vain({flag}, alone | vain)] == [(flag, True)]
    assert list(in_vain({flag}, alone | well)) == []
    assert list(in_vain(set(), alone | vain)) == []


def test_units_are_those_of_the_flags() -> None:
    settings = settings_of(
        {"rest_api_port": 0, "rest_api_timeout_in_ms": 1500, "load_retry_interval_micros": 250_000}
        | {"file_system_poll_wait_seconds": 3, "max_message_mb": 2.5, "port": -1},
        MODELS,
    )
    assert settings.rest is not None
    assert (settings.rest.timeout_s, settings.lifecycle.retry_interval_s) == (1.5, 0.25)
    assert (settings.lifecycle.poll_wait_s, settings.rpc_capacity.max_message_bytes) == (3, 2_500_000)
    assert settings.rpc.port is None


@pytest.mark.parametrize(
    ("given", "threads"),
    [
        ({}, 1),
        ({"tensorflow_session_parallelism": 3, "tensorflow_intra_op_parallelism": 2}, 3),
        ({"tensorflow_intra_op_parallelism": 2}, 2),
    ],
)
def test_threads_of_a_call_are_those_that_the_help_tells(given: dict[str, int], threads: int) -> None:
    loader = settings_of(given, MODELS).loader
    assert isinstance(loader, Loader)
    assert loader.loading.threads == threads
    told = {flag.name: flag.help for flag in TENSORFLOW_SERVING}
    assert "0 is one" in told["tensorflow_session_parallelism"]
    assert told["tensorflow_intra_op_parallelism"] == "The same, where that one is 0."
