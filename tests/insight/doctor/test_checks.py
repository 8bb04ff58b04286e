"""What doctor says of machines, stacks, servers and tools, told by hand-made ones."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

import toolkit
from toolkit.core.plugins import FORMATS, Format
from toolkit.deploying.commands import Command, DockerCommand, EmbeddedCommand
from toolkit.errors import ExitCode, UnavailableError
from toolkit.insight.doctor.check import Check, State
from toolkit.insight.doctor.examine import Examination, lacking
from toolkit.insight.doctor.machine import machine_checks, unfit
from toolkit.insight.doctor.stack import CLASHES, Clash, declared, installed, stack_checks
from toolkit.insight.doctor.usable import usable_checks

QUIET = {
    "proc/loadavg": "0.10 0.20 0.30 1/100 1",
    "proc/meminfo": "MemTotal: 16000000 kB\nMemAvailable: 8000000 kB",
    "proc/cpuinfo": "flags\t\t: fpu vme",
    "proc/stat": "cpu 100 0 100 800 0 0 0 0 0 0",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "performance",
}


def machine(root: Path, **changed: str) -> dict[str, Check]:
    """What is said of a machine whose files are QUIET's but for some."""
    for name, text in (QUIET | {name.replace("__", "/"): text for name, text in changed.items()}).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return {check.name: check for check in machine_checks(root, cores=4)}


def test_a_quiet_machine_is_fit(tmp_path: Path) -> None:
    found = machine(tmp_path)
    assert {check.state for check in found.values()} == {State.OK}
    assert unfit(list(found.values())) == []


@pytest.mark.parametrize(
    ("file", "text", "name", "said"),
    [
        ("proc__loadavg", "1.50 0 0 1/1 1", "load", "load 1.50 on 4 cores"),
        ("proc__meminfo", "MemAvailable: 2000000 kB", "memory", "2.0 GB"),
        ("proc__stat", "cpu 100 0 100 700 0 0 0 100 0 0", "virtualised", "the host took 10.0% of its time"),
        ("sys__fs__cgroup__cpu.max", "150000 100000", "cores", "the container may use the time of 1.5"),
        ("sys__devices__system__cpu__cpu0__cpufreq__scaling_governor", "powersave", "governor", "powersave"),
    ],
)
def test_what_spoils_a_measurement(tmp_path: Path, file: str, text: str, name: str, said: str) -> None:
    found = machine(tmp_path, **{file: text})
    assert found[name].state is State.WARNING
    assert said in found[name].text
    assert found[name].hint
    assert unfit(list(found.values())) == [found[name]]


def test_a_virtual_machine_is_named(tmp_path: Path) -> None:
    found = machine(tmp_path, proc__cpuinfo="flags\t\t: fpu hypervisor")["virtualised"]
    assert (found.state, found.text) == (State.NOTE, "in a virtual machine")


def test_an_unlimited_container_has_all_its_cores(tmp_path: Path) -> None:
    assert machine(tmp_path, **{"sys__fs__cgroup__cpu.max": "max 100000"})["cores"].state is State.OK


@pytest.mark.parametrize(
    ("version", "state"),
    [("2.1", State.OK), ("2.4.6", State.OK), ("3.0.0", State.WARNING), ("2.0.9", State.WARNING), (None, State.MISSING)],
)
def test_a_version_against_what_is_asked_for(version: str | None, state: State) -> None:
    versions = {"num-py": version} if version else {}
    (found,) = stack_checks(versions, ["num_py<3,>=2.1"], {})
    assert found.state is state
    assert (found.hint == "pip install 'num_py<3,>=2.1'") is (state is not State.OK)


def test_this_stack_is_what_this_release_asks_for() -> None:
    found = list(stack_checks(installed(), declared(), {}))
    assert [check for check in found if check.state is State.MISSING] == []
    assert {"tensorflow", "numpy"} <= {check.name for check in found}


@pytest.mark.parametrize("clash", CLASHES, ids=lambda clash: " ".join(clash.packages) or clash.variable[0])
def test_each_known_clash_is_seen_and_only_where_it_is(clash: Clash) -> None:
    versions = dict.fromkeys(clash.packages, "1.0")
    name, harmless = clash.variable or ("NOTHING", "")
    assert clash.text in " ".join(check.text for check in stack_checks(versions, ["x"], {name: "other"}))
    assert [check.state for check in stack_checks({}, ["x"], {name: harmless})] == [State.MISSING]


@dataclass(frozen=True)
class _Server(EmbeddedCommand):
    def version(self) -> str:
        return "2.99.0"


def gone() -> Command:
    raise UnavailableError("no such thing", hint="get it")


def test_servers_say_whether_they_are_there() -> None:
    servers: dict[str, Callable[[], Command]] = {"here": _Server, "there": gone}
    found = {check.name: check for check in usable_checks(servers) if check.area == "servers"}
    assert (found["here"].state, found["here"].text) == (State.OK, "usable, with TensorFlow 2.99.0")
    assert (found["there"].state, found["there"].hint) == (State.ABSENT, "get it")


@pytest.mark.parametrize(("said", "state"), [("29.0", State.OK), (None, State.ABSENT)])
def test_the_docker_daemon_is_asked(said: str | None, state: State) -> None:
    asked = []

    def ask(line: object) -> str | None:
        asked.append(line)
        return said

    found = usable_checks({"docker": lambda: DockerCommand(ask=ask)})
    assert [check.state for check in found if check.area == "servers"] == [state]
    assert asked == [["docker", "version", "--format", "{{.Server.Version}}"]]


def test_formats_and_runtimes_are_all_there() -> None:
    found = [check for check in usable_checks({}) if check.area in {"formats", "runtimes"}]
    assert {check.state for check in found} == {State.OK}
    assert set(FORMATS.names()) <= {check.name for check in found}


@pytest.mark.parametrize(("wanted", "state"), [((), State.ABSENT), (("onnx",), State.MISSING)])
def test_a_format_without_its_library(monkeypatch: pytest.MonkeyPatch, wanted: tuple[str, ...], state: State) -> None:
    lame = Format("onnx", lambda traced, place: None, libraries=("no_such_module",))
    monkeypatch.setattr(FORMATS, "load", lambda name: lame)
    found = {check.name: check for check in usable_checks({}, wanted) if check.area == "formats"}
    assert (found["onnx"].state, found["onnx"].hint) == (state, "pip install no-such-module")


def test_what_is_missing_ends_with_four() -> None:
    missing = Check("formats", "onnx", State.MISSING, "gone", "pip install onnx")
    error = lacking(Examination((missing,)))
    assert error is not None
    assert (error.exit_code, error.message, error.hint) == (ExitCode.MISSING, "onnx: gone", "pip install onnx")
    assert lacking(Examination((Check("tools", "modelscan", State.ABSENT, "gone"),))) is None


def test_a_server_that_is_not_there_is_missing() -> None:
    found = toolkit.doctor(server="127.0.0.1:1")
    assert [check.text for check in found.missing] == ["nobody answers there, neither gRPC nor REST"]


def test_an_unknown_format_is_missing() -> None:
    assert [check.name for check in toolkit.doctor(formats=("onxn",)).missing] == ["onxn"]
