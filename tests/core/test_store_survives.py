"""Whoever is killed, full or in the way: a bundle appears whole or not at all, and two builds never meet."""

import errno
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from toolkit.core.store import MANIFEST, hash_files, publish, publish_at, staging, staging_for, versions
from toolkit.errors import ExitCode, StoreError

Build = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def builder(root: Path) -> Iterator[Build]:
    """Starts builder.py; what still runs at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(*words: object) -> subprocess.Popen[str]:
        command = [sys.executable, str(Path(__file__).with_name("builder.py")), *map(str, words)]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(root)}, **pipes)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def build(base: Path) -> Path:
    with staging(base) as stage:
        (stage / "model").mkdir()
        (stage / "model" / "weights").write_bytes(b"weights")
        return publish(stage, base, lambda version: finish(stage, version))


def build_at(target: Path) -> Path:
    with staging_for(target) as stage:
        return publish_at(stage, target, lambda version: finish(stage, version))


def finish(stage: Path, version: int) -> None:
    (stage / MANIFEST).write_text(str(version))


def names(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()} if folder.exists() else set()


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_at_any_call_it_leaves_no_half_version_and_the_next_build_clears_the_rest(
    tmp_path: Path, builder: Build, moment: str
) -> None:
    last = int(builder("killed", tmp_path, "publish", moment).communicate()[0])
    whole = hash_files(tmp_path / str(last) / "model" / "1")
    outcomes: Counter[int] = Counter()
    for number in range(1, last):
        base = tmp_path / str(number) / "model"
        visible = {name for name in names(base) if not name.startswith(".")}
        assert visible in (set(), {"1"}), number
        assert versions(base) == [int(name) for name in visible], number
        assert all(hash_files(base / name) == whole for name in visible), number
        outcomes[len(visible)] += 1
        build(base)
        assert names(base) == {str(version) for version in versions(base)}, number
        assert len(versions(base)) == len(visible) + 1, number
    assert outcomes[0] > 15
    assert outcomes[1] > 0


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_at_any_call_a_target_of_its_own_is_whole_or_absent(tmp_path: Path, builder: Build, moment: str) -> None:
    last = int(builder("killed", tmp_path, "publish_at", moment).communicate()[0])
    whole = hash_files(tmp_path / str(last) / "model")
    for number in range(1, last):
        target = tmp_path / str(number) / "model"
        assert not target.exists() or hash_files(target) == whole, number
        build_at(target.with_name("other"))
        assert names(target.parent) <= {"model", "other"}, number


def test_builds_at_once_get_versions_of_their_own(tmp_path: Path, builder: Build) -> None:
    base = tmp_path / "exported" / "model"
    processes = [builder("often", base, 100) for _ in range(3)]
    published = [int(line) for process in processes for line in process.communicate()[0].split()]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert sorted(published) == list(range(1, 202)) == versions(base)
    assert names(base) == set(map(str, published))


def test_a_live_stage_stays_and_a_dead_one_goes(tmp_path: Path, builder: Build) -> None:
    owner = builder("holding", tmp_path)
    assert owner.stdout is not None
    stage = Path(owner.stdout.readline().strip())
    build(tmp_path)
    assert (stage / "saved_model" / "saved_model.pb").exists()
    owner.kill()
    owner.wait()
    assert stage.exists()
    build(tmp_path)
    assert names(tmp_path) == {"1", "2"}


class Failing:
    """A function of os that fails at its n-th call."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str, code: int) -> None:
        self.call, self.code, self.count, self.at = getattr(os, name), code, 0, 0
        monkeypatch.setattr(os, name, self)

    def __call__(self, *given: Any, **named: Any) -> Any:
        self.count += 1
        if self.count == self.at:
            raise OSError(self.code, os.strerror(self.code), *(str(path) for path in given if isinstance(path, Path)))
        return self.call(*given, **named)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO])
@pytest.mark.parametrize("name", ["open", "mkdir", "rename", "fsync"])
def test_a_full_or_closed_disk_is_told_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, code: int
) -> None:
    failing = Failing(monkeypatch, name, code)
    build(tmp_path / "0" / "model")
    told = 0
    for at in range(1, failing.count + 1):
        failing.count, failing.at = 0, at
        place = tmp_path / str(at)
        error = failure(place / "model")
        if error is None:
            assert name == "open", "only a look at other stages may fail in silence"
            assert names(place / "model") == {"1"}
            continue
        told += 1
        assert error.exit_code is ExitCode.MISSING
        assert error.hint
        published = "is published and whole" in error.message
        assert names(place) == ({"model"} if published else set())
        assert published or ("bytes free" in error.message) is (code in (errno.ENOSPC, errno.EDQUOT))
    assert told >= 1


def failure(base: Path) -> StoreError | None:
    try:
        build(base)
    except StoreError as error:
        return error
    return None


def test_a_disk_that_fills_while_the_model_is_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"no space left on device \([\d,]+ bytes free\)"), staging(tmp_path / "model"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert names(tmp_path) == set()


def test_a_stage_that_may_not_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="permission denied"), staging(tmp_path / "model") as stage:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(stage / "weights"))
    assert names(tmp_path) == set()


@pytest.mark.parametrize(
    "error",
    [FileNotFoundError(2, "no such file", "data.csv"), PermissionError(13, "denied", "data"), KeyboardInterrupt()],
)
def test_what_is_not_the_stores_to_explain_passes_and_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, staging(tmp_path / "exported" / "model"):
        raise error
    assert caught.value is error
    assert names(tmp_path) == set()
