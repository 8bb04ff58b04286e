"""The command lines of the servers, the docker client without a daemon, and a server that is too old."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from toolkit.deploying.commands import BinaryCommand, Command, DockerCommand, EmbeddedCommand, Ports, check_age
from toolkit.deploying.deployment import Plan, deploy
from toolkit.deploying.layout import Layout
from toolkit.errors import DeployError, ExitCode, UnavailableError

PORTS = Ports(8500, 8501)
PlanOf = Callable[..., Plan]
Make = Callable[..., Path]


def executable(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def binary(tmp_path: Path, root: Path) -> Path:
    """Our own server, behind an executable of that name: the flags are the same."""
    script = root / "tests" / "deploying" / "server.py"
    version = "TensorFlow ModelServer: 2.21.0-rc1\nTensorFlow Library: 2.21.0"
    return executable(
        tmp_path / "tensorflow_model_server",
        f'#!/bin/sh\nif [ "$1" = --version ]; then echo "{version}"; exit; fi\nexec {sys.executable} {script} "$@"\n',
    )


def test_our_own_server_is_started_with_the_flags_of_tensorflow_serving(tmp_path: Path) -> None:
    line = EmbeddedCommand().line("m", tmp_path / "m", PORTS)
    assert line[1:] == [
        *("-m", "toolkit.cli.main", "serve", "--port=8500", "--rest_api_port=8501", "--model_name=m"),
        *(f"--model_base_path={tmp_path / 'm'}", "--max_num_load_retries=0"),
    ]
    assert EmbeddedCommand().version() is not None


def test_a_binary_on_the_path_is_asked(
    layout: Layout, plan: PlanOf, bundle: Make, binary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{binary.parent}{os.pathsep}{os.environ['PATH']}")
    command = BinaryCommand()
    assert command.version() == "2.21.0"
    done = deploy(replace(plan(bundle()), command=command))
    assert "memory" in [found.name for found in done.findings]
    assert layout.versions() == [1]


def test_a_binary_that_is_not_there_is_missing() -> None:
    with pytest.raises(UnavailableError, match="there is no no_such_server here") as caught:
        BinaryCommand("no_such_server")
    assert caught.value.exit_code is ExitCode.MISSING


def test_a_binary_that_says_no_version_is_not_judged_by_it(tmp_path: Path) -> None:
    silent = BinaryCommand(str(executable(tmp_path / "server", "#!/bin/sh\n")))
    assert silent.version() is None
    check_age(silent, "2.21.0")


def test_a_server_older_than_the_bundle_is_named_before_anything_is_made(
    layout: Layout, plan: PlanOf, bundle: Make, binary: Path
) -> None:
    made = bundle(tensorflow="2.22.0")
    with pytest.raises(DeployError, match=r"the server has TensorFlow 2\.21\.0, the bundle was exported with 2\.22\.0"):
        deploy(replace(plan(made), command=BinaryCommand(str(binary))))
    assert not layout.base.exists()


@pytest.mark.parametrize(
    ("server", "exporter", "refused"),
    [
        ("2.21.0", "2.21.1", False),
        ("2.21.0-rc1", "2.21.0", False),
        ("2.9.1", "2.21.0", True),
        ("1.15.0", "2.1.0", True),
        ("3.0.0", "2.21.0", False),
        ("latest", "2.21.0", False),
    ],
)
def test_only_an_older_minor_release_is_too_old(server: str, exporter: str, *, refused: bool) -> None:
    command = DockerCommand(f"tensorflow/serving:{server}", ask=lambda line: "")
    if refused:
        with pytest.raises(DeployError, match="was exported with"):
            check_age(command, exporter)
    else:
        check_age(command, exporter)


def test_docker_mounts_the_real_versions_read_only(tmp_path: Path) -> None:
    real, base_path = tmp_path / "bundle" / "saved_model", tmp_path / "gate" / "m"
    real.mkdir(parents=True)
    base_path.mkdir(parents=True)
    (base_path / "3").symlink_to(real)
    line = DockerCommand(ask=lambda line: "28.0").line("m", base_path, PORTS)
    assert line == [
        *("docker", "run", "--rm", "--name", "tfx-export-gate-8500", "--read-only", "--tmpfs", "/tmp"),
        *("-p", "127.0.0.1:8500:8500", "-p", "127.0.0.1:8501:8501", "-v", f"{real}:/models/m/3:ro"),
        *("-e", "MODEL_NAME=m", "tensorflow/serving:2.21.0", "--max_num_load_retries=0"),
    ]


def test_docker_is_asked_for_memory_and_to_remove_what_a_killed_client_leaves() -> None:
    asked: list[Sequence[str]] = []

    def ask(line: Sequence[str]) -> str:
        asked.append(line)
        return "123.5MiB / 7.6GiB\n" if "stats" in line else ""

    command: Command = DockerCommand(ask=ask)
    assert command.memory_bytes(1, PORTS) == 123.5 * 2**20
    command.clear(PORTS)
    assert asked[-1] == ["docker", "rm", "--force", "tfx-export-gate-8500"]
    assert DockerCommand(ask=lambda line: "").memory_bytes(1, PORTS) is None


def test_a_docker_client_without_a_daemon_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = "#!/bin/sh\necho 'Cannot connect to the Docker daemon' >&2\nexit 1\n"
    executable(tmp_path / "docker", client)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 1
    with pytest.raises(UnavailableError, match="no Docker daemon answers") as caught:
        DockerCommand()
    assert caught.value.exit_code is ExitCode.MISSING


def test_no_docker_at_all_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnavailableError):
        DockerCommand()


def test_memory_that_nobody_can_say_fails_only_where_it_is_limited(
    plan: PlanOf, bundle: Make, binary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BinaryCommand, "memory_bytes", lambda *_: None)
    unlimited = replace(plan(bundle()), command=BinaryCommand(str(binary)))
    limited = replace(unlimited, limits=replace(unlimited.limits, max_memory_bytes=1))
    with pytest.raises(DeployError, match="nobody can say how much"):
        deploy(limited)
    assert deploy(unlimited).version == 1
