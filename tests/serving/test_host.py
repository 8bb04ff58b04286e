"""The process around the engine: a config file that is followed, readiness, and a start that fails cleanly."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.serving.running import PATIENCE_S, HeldModel, running
from toolkit.errors import ServingError
from toolkit.serving.host import Host
from toolkit.serving.settings import Settings, settings_of
from toolkit.wire.messages import ModelConfig, State


def publish(root: Path, *names: str) -> None:
    for name in names:
        (root / name / "1").mkdir(parents=True)


def write_config(root: Path, *names: str) -> Path:
    """The config file of these models, replaced by rename."""
    entries = [f'config {{ name: "{name}" base_path: "{root / name}" model_platform: "tensorflow" }}' for name in names]
    (root / "new").write_text(f"model_config_list {{ {' '.join(entries)} }}")
    return (root / "new").rename(root / "models.config")


def free(flags: dict[str, object]) -> Settings:
    """Settings with free ports and a model that is never held."""
    model = HeldModel()
    model.gate.set()
    return replace(settings_of({"port": 0, "rest_api_port": 0} | flags), loader=model)


def eventually(done: Callable[[], bool]) -> None:
    pause, until = threading.Event(), time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < until
        pause.wait(0.005)


def answering(host: Host) -> set[str]:
    states = host.ready().models
    return {name for name, versions in states.items() if State.AVAILABLE in versions.values()}


def test_the_config_file_is_followed_and_a_bad_one_changes_nothing(tmp_path: Path) -> None:
    publish(tmp_path, "a", "b")
    file = write_config(tmp_path, "a")
    flags = {"model_config_file": str(file), "model_config_file_poll_wait_seconds": 1}
    settings = replace(free(flags), config_poll_s=0.01)
    with Host(settings) as host:
        assert answering(host) == {"a"}
        write_config(tmp_path, "a", "b")
        eventually(lambda: answering(host) == {"a", "b"})
        file.write_text("nonsense")
        host.engine.apply([ModelConfig("a", str(tmp_path / "a"))])
        eventually(lambda: answering(host) == {"a"})
        write_config(tmp_path, "b")
        eventually(lambda: answering(host) == {"b"})


def test_without_polling_the_file_is_read_once(tmp_path: Path) -> None:
    publish(tmp_path, "a", "b")
    file = write_config(tmp_path, "a")
    before = set(threading.enumerate())
    with Host(free({"model_config_file": str(file)})) as host:
        write_config(tmp_path, "b")
        new = set(threading.enumerate()) - before
        assert new
        assert not [thread for thread in new if "_follow" in thread.name]
        assert answering(host) == {"a"}
    eventually(lambda: not [thread for thread in new if thread.is_alive()])


def test_a_strict_start_that_fails_leaves_nothing_open(tmp_path: Path) -> None:
    def broken(name: str, version: int, directory: Path) -> HeldModel:
        raise ServingError("it does not load", hint="")

    publish(tmp_path, "a")
    flags = {"model_base_path": str(tmp_path / "a"), "strict_start": True, "max_num_load_retries": 0}
    host = Host(replace(free(flags), loader=broken))
    with pytest.raises(ServingError, match=r"1 servable\(s\) did not become available"):
        host.start()
    assert host.held() == 0


def test_a_strict_start_takes_no_label_for_a_version_that_is_not_loaded(tmp_path: Path) -> None:
    publish(tmp_path, "a")
    models = (ModelConfig("a", str(tmp_path / "a"), labels={"stable": 1}),)
    with pytest.raises(ServingError, match="Request to assign label to version 1 of model a"):
        Host(replace(free({"strict_start": True, "model_base_path": "/a"}), models=models)).start()


def test_a_server_can_be_started_again_on_the_same_ports(tmp_path: Path) -> None:
    with running(tmp_path) as first:
        ports = (first.grpc_port, first.rest_port)
    with running(tmp_path, port=ports[0], rest_api_port=ports[1]) as again:
        assert (again.grpc_port, again.rest_port) == ports
        assert again.get("/readyz").status == 200
