"""Every recorded exchange with the real server, over real sockets: 229 of REST and 92 of gRPC."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.golden.replaying import DATA, Case, cases, grpc_difference, models_config, rest_difference
from toolkit.serving.embedded import ServeRequest, Serving, serve

# The flags that each file was recorded with.
FLAGS: Mapping[str, Mapping[str, Any]] = {
    "rest": {},
    "rest_cors": {"rest_api_enable_cors_support": True},
    "rest_sigcheck": {"enable_signature_method_name_check": True},
    "rest_batching": {"enable_batching": True, "batching_parameters_file": str(DATA / "batching.config")},
    "rest_plain": {"model_base_path": str(DATA / "models" / "saved_model_half_plus_two_cpu")},
    "grpc": {},
}
TRANSPORTS = ("fast", "public")
Start = Callable[[str, str], Serving]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Gives a server for a file of recordings; those with the same flags share one."""
    config = models_config(tmp_path_factory.mktemp("golden"))
    running: dict[str, Serving] = {}
    with ExitStack() as stack:

        def started(file: str, transport: str) -> Serving:
            flags = dict(FLAGS[file]) | {"transport": transport, "port": 0, "rest_api_port": 0}
            if "model_base_path" not in flags:
                flags["model_config_file"] = str(config)
                flags["allow_version_labels_for_unavailable_models"] = True
            key = repr(sorted(flags.items()))
            if key not in running:
                running[key] = stack.enter_context(serve(None, ServeRequest(flags)))
            return running[key]

        yield started


@pytest.mark.parametrize("file", [file for file in FLAGS if file != "grpc"])
def test_rest_answers_as_the_real_server(file: str, start: Start) -> None:
    port = start(file, "fast").ready.rest_api_port
    assert port is not None
    assert differences(file, lambda case: rest_difference(case, port)) == {}


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_grpc_answers_as_the_real_server(transport: str, start: Start) -> None:
    unlimited = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(f"127.0.0.1:{start('grpc', transport).ready.grpc_port}", unlimited) as channel:
        assert differences("grpc", lambda case: grpc_difference(case, channel)) == {}


def differences(file: str, difference: Callable[[Case], str | None]) -> dict[str, str]:
    """What differs, by the name of the case; the cases of one file build on one another."""
    found = {case["name"]: difference(case) for case in cases(file)}
    return {name: text for name, text in found.items() if text is not None}


def test_all_recordings_are_there() -> None:
    assert sum(len(cases(file)) for file in FLAGS if file != "grpc") == 229
    assert len(cases("grpc")) == 92
    assert (Path(DATA) / "models" / "mlp" / "1").is_dir()
