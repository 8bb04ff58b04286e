"""The measured server answers from a process of its own, and does not outlive a benchmark that is killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from toolkit.errors import UnavailableError, UsageError
from toolkit.measure.server import Served, check_server, given_server, serve_bundle
from toolkit.runtimes.served import open_remote
from toolkit.wire.endpoints import Reach, parse_url

OWNER = """
import sys, time
from pathlib import Path
from toolkit.measure.server import serve_bundle
with serve_bundle(Path(sys.argv[1]), "mlp", 1) as served:
    print(served.pid, flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize(
    ("address", "path", "url"),
    [
        ("host:8500", "grpc", "grpc://host:8500/mlp:serving_default"),
        ("grpc://host:8500", "grpc", "grpc://host:8500/mlp:serving_default"),
        ("http://host:8501/v1/models", "rest", "http://host:8501/mlp:serving_default"),
        ("grpcs://host:443", "grpc", "grpcs://host:443/mlp:serving_default"),
        ("https://host:443/", "rest", "https://host:443/mlp:serving_default"),
        ("[::1]:8500", "grpc", "grpc://[::1]:8500/mlp:serving_default"),
        ("host:8500", "rest", ""),
        ("http://host:8501", "grpc", ""),
    ],
)
def test_a_given_server_is_asked_by_its_own_protocol(address: str, path: str, url: str) -> None:
    assert given_server(address, "mlp").url(path, "serving_default") == url


@pytest.mark.parametrize(
    "address", ["", "host", "host:", "ftp://host:1", "http://host", "host:65536", "grpc:host:1", "::1:1"]
)
def test_an_address_without_a_port_or_of_another_kind_is_no_server(address: str) -> None:
    with pytest.raises(UsageError, match="is no server"):
        given_server(address, "mlp")


@pytest.mark.parametrize(
    "address", ["127.0.0.1:1/x", "grpc://host:1/mlp", "http://host:1/v1/models/mlp", "host:1/mlp:serving_default"]
)
def test_a_server_named_with_a_model_is_refused_since_each_is_asked_by_its_own_name(address: str) -> None:
    with pytest.raises(UsageError, match="names more than a server") as refused:
        given_server(address, "mlp")
    assert "--server HOST:PORT" in refused.value.hint


def test_a_tls_file_that_is_not_there_is_said_before_anything_is_asked(tmp_path: Path) -> None:
    check_server("grpcs://host:1", Reach())
    with pytest.raises(UnavailableError, match="a TLS file cannot be read"):
        check_server("https://host:1", Reach(tls_ca=tmp_path / "none.pem"))


@pytest.mark.parametrize("path", ["grpc", "rest"])
def test_an_address_that_is_not_there_has_no_url(path: str) -> None:
    assert Served("", "", "mlp").url(path, "serving_default") == ""


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    with (
        pytest.raises(UnavailableError, match="the server did not start"),
        serve_bundle(tmp_path / "nothing", "mlp", 1),
    ):
        pass


def test_a_server_answers_and_ends_with_a_benchmark_that_is_killed(shipped: Callable[[str], Path], root: Path) -> None:
    command = [sys.executable, "-c", OWNER, str(shipped("mlp"))]
    environment = os.environ | {"PYTHONPATH": str(root)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as owner:
        assert owner.stdout is not None
        server = int(owner.stdout.readline())
        os.kill(server, 0)
        owner.send_signal(signal.SIGKILL)
        owner.wait()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and Path(f"/proc/{server}").exists():
        if "Z" in Path(f"/proc/{server}/stat").read_text().rpartition(")")[2].split()[:1]:
            break
        time.sleep(0.05)
    else:
        assert not Path(f"/proc/{server}").exists()


def test_both_protocols_answer(shipped: Callable[[str], Path]) -> None:
    with serve_bundle(shipped("mlp"), "mlp", 1) as served:
        for path in ("grpc", "rest"):
            with open_remote(parse_url(served.url(path, "serving_default"))) as runner:
                answer = runner.run({"image": np.zeros((1, 28, 28), np.float32)})
                assert answer["probabilities"].shape == (1, 10)
