"""What scripts/ do to .venv: once, whole, and again only when something changed. A stand-in plays Python and pip."""

import fcntl
import os
import subprocess
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from shutil import copytree

import pytest

CHECK = '#!/bin/sh\necho check "$@"\n'


@dataclass
class House:
    """A copy of scripts/ beside small lock files, and what a stand-in pip was asked to install there."""

    path: Path
    env: dict[str, str] = field(default_factory=dict)

    def start(self, script: str, *arguments: str, cwd: str = "", **env: str) -> subprocess.Popen[str]:
        words = ["bash", str(self.path / "scripts" / script), *arguments]
        where, environment = self.path / cwd, self.env | env
        return subprocess.Popen(
            words, cwd=where, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def run(self, script: str, *arguments: str, cwd: str = "", **env: str) -> tuple[int, list[str], list[str]]:
        with self.start(script, *arguments, cwd=cwd, **env) as process:
            stdout, stderr = process.communicate()
        return process.returncode, stdout.splitlines(), stderr.splitlines()

    @property
    def installed(self) -> list[str]:
        log = Path(self.env["LOG"])
        lines = log.read_text().splitlines() if log.exists() else []
        return [Path(line).name for line in lines]


@pytest.fixture
def house(tmp_path: Path, root: Path) -> House:
    path, tools = tmp_path / "a house with spaces", tmp_path / "tools"
    copytree(root / "scripts", path / "scripts")
    copytree(root / "tests" / "scripts" / "stand_ins", tools)
    (path / "scripts" / "check").write_text(CHECK)
    (path / "requirements.lock").write_text("a==1\n")
    (path / "requirements-dev.lock").write_text("a==1\nb==1\n")
    (path / "pyproject.toml").touch()
    return House(path, {"PATH": f"{tools}:{os.environ['PATH']}", "LOG": str(tmp_path / "log")})


def test_the_first_run_installs_and_the_second_starts_at_once(house: House) -> None:
    both = [str(house.path), "tfx-export build", str(house.path), "tfx-export bench mlp --quick"]
    assert house.run("build.sh")[:2] == (0, both)
    assert house.installed == ["requirements.lock", house.path.name]
    assert house.run("build.sh", "verify", "a b") == (0, [str(house.path), "tfx-export verify a b"], [])
    assert len(house.installed) == 2


def test_what_does_not_build_is_not_measured(house: House) -> None:
    house.run("build.sh")
    (house.path / ".venv" / "bin" / "tfx-export").write_text('#!/bin/sh\necho tfx-export "$@"; exit 3\n')
    assert house.run("build.sh")[:2] == (3, ["tfx-export build"])


def test_the_tests_add_to_what_the_build_installed(house: House) -> None:
    house.run("build.sh")
    assert house.run("test.sh", "--all", "-x")[:2] == (0, ["check --all -x"])
    assert house.installed == ["requirements.lock", house.path.name, "requirements-dev.lock", house.path.name]


def test_after_the_tests_the_build_installs_nothing(house: House) -> None:
    house.run("test.sh")
    assert house.run("build.sh")[2] == []
    assert house.installed == ["requirements-dev.lock", house.path.name]


@pytest.mark.parametrize("changed", ["requirements.lock", "pyproject.toml"])
def test_a_changed_file_installs_again_into_the_same_venv(house: House, changed: str) -> None:
    house.run("build.sh")
    (house.path / ".venv" / "kept").touch()
    (house.path / changed).write_text("c==1\n")
    house.run("build.sh")
    assert len(house.installed) == 4
    assert (house.path / ".venv" / "kept").exists()


def test_an_interrupted_run_is_made_anew(house: House) -> None:
    assert house.run("build.sh", PIP_DIES="1")[0] != 0
    (house.path / ".venv" / "half").touch()
    assert house.run("build.sh")[0] == 0
    assert not (house.path / ".venv" / "half").exists()
    assert not (house.path / ".venv" / "unfinished").exists()


def test_a_moved_repository_gets_a_new_venv(house: House) -> None:
    house.run("build.sh")
    (house.path / ".venv" / "old").touch()
    moved = House(house.path.rename(house.path.with_name("moved")), house.env)
    assert moved.run("build.sh", "build")[:2] == (0, [str(moved.path), "tfx-export build"])
    assert not (moved.path / ".venv" / "old").exists()


def test_another_python_by_name_gets_a_new_venv(house: House) -> None:
    house.run("build.sh")
    (house.path / ".venv" / "old").touch()
    assert house.run("build.sh", PYTHON="python3")[2] == []
    other = Path(house.env["LOG"]).with_name("tools") / "python3.12"
    other.write_text(other.with_name("python3").read_text().replace("3.11.7", "3.12.1"))
    other.chmod(0o755)
    assert house.run("build.sh", PYTHON="python3.12")[0] == 0
    assert not (house.path / ".venv" / "old").exists()


def test_two_at_once_wait_for_each_other_and_install_once(house: House) -> None:
    with ExitStack() as stack:
        with (house.path / "scripts" / "setup.sh").open() as third:
            fcntl.flock(third, fcntl.LOCK_EX)
            both = [stack.enter_context(house.start("build.sh")) for _ in range(2)]
            said = [process.stderr.readline() for process in both if process.stderr]
            assert said == ["Waiting for another set-up of .venv to end\n"] * 2
            assert house.installed == []
        assert [process.wait() for process in both] == [0, 0]
    assert house.installed == ["requirements.lock", house.path.name]


def test_inside_the_repository_it_runs_where_it_was_called_and_outside_in_the_repository(house: House) -> None:
    assert house.run("build.sh", cwd="scripts")[1][0] == str(house.path / "scripts")
    assert house.run("build.sh", cwd="..")[1][0] == str(house.path)


@pytest.mark.parametrize(
    ("env", "says"),
    [
        ({"VERSION": "3.10.2"}, "error: python3 is Python 3.10.2, this needs Python 3.11, 3.12 or 3.13"),
        ({"VERSION": "3.14.0"}, "error: python3 is Python 3.14.0, this needs Python 3.11, 3.12 or 3.13"),
        ({"WITHOUT_VENV": "1"}, "error: python3 has no venv; on Debian: apt-get install python3-venv"),
        ({"PYTHON": "python9"}, "error: python9 is not installed; install Python 3.11, 3.12 or 3.13"),
    ],
)
def test_a_python_that_does_not_do_is_one_line(house: House, env: dict[str, str], says: str) -> None:
    code, stdout, stderr = house.run("build.sh", **env)
    assert (code, stdout, len(stderr)) == (4, [], 1)
    assert stderr[0].startswith(says)
    assert not (house.path / ".venv").exists()


@pytest.mark.parametrize(
    ("status", "euid", "code", "asked"),
    [
        ("installed", 0, 0, ""),
        ("", 0, 0, "update install"),
        ("", 1000, 4, ""),
    ],
)
def test_debian_packages_are_installed_where_missing_and_allowed(
    house: House, status: str, euid: int, code: int, asked: str
) -> None:
    # EUID cannot be set in bash, so the function is read with another name in its place.
    script = f"""source "{house.path}/scripts/setup.sh"
        eval "$(declare -f need_debian | sed 's/EUID/WHO/')"; WHO={euid}
        dpkg-query() {{ echo -n "{status}"; }}
        apt-get() {{ echo -n "$1 "; }}
        need_debian chromium nghttp2-client"""
    done = subprocess.run(["bash", "-euc", script], env=house.env, capture_output=True, text=True, check=False)
    calls = [word for word in done.stderr.split() if word in {"update", "install"}] if code == 0 else []
    assert (done.returncode, " ".join(calls)) == (code, asked)
    if code:
        wanted = "error: missing: chromium nghttp2-client; on Debian: sudo apt-get install chromium nghttp2-client\n"
        assert done.stderr == wanted
