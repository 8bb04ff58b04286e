"""Where bundles are found, which version comes next, what may be a target, and what stands in the way."""

import os
import shutil
from pathlib import Path

import pytest

from toolkit.core.store import (
    MANIFEST,
    bundles,
    find_root,
    newest,
    publish,
    publish_at,
    staging,
    staging_for,
    versions,
)
from toolkit.errors import ParityError, StoreError, UsageError


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


def test_only_what_is_surely_a_stage_is_cleared(tmp_path: Path) -> None:
    others = {".staging-mine", ".staging-tfx-0", "2.staging", ".hidden"}
    for name in others:
        (tmp_path / name).mkdir()
    (tmp_path / (".staging-tfx-" + "0" * 16)).mkdir()
    (tmp_path / (".staging-tfx-" + "1" * 16 + ".lock")).touch()
    with staging(tmp_path):
        pass
    assert names(tmp_path) == others


@pytest.mark.parametrize("inner", [(), ("model",), ("model", "deeper")])
def test_a_file_in_the_way_is_told(tmp_path: Path, inner: tuple[str, ...]) -> None:
    (tmp_path / "exported").write_text("mine")
    with pytest.raises(StoreError, match=r"not a (folder|directory)"):
        build(tmp_path.joinpath("exported", *inner))
    assert (tmp_path / "exported").read_text() == "mine"


def test_a_finish_that_refuses_publishes_nothing(tmp_path: Path) -> None:
    def refuse(version: int) -> None:
        raise ParityError(f"version {version}", hint="no")

    base = tmp_path / "model"
    with pytest.raises(ParityError, match="version 1"), staging(base) as stage:
        publish(stage, base, refuse)
    assert names(tmp_path) == set()


@pytest.mark.parametrize(("mask", "file_mode", "folder_mode"), [(0o022, 0o644, 0o755), (0o077, 0o600, 0o700)])
def test_what_is_published_can_be_read_by_whom_the_umask_lets(
    tmp_path: Path, mask: int, file_mode: int, folder_mode: int
) -> None:
    def private(version: int) -> None:
        (stage / "inner").mkdir(mode=0o700)
        (stage / "inner" / "file").touch(mode=0o600)

    before = os.umask(mask)
    try:
        with staging(tmp_path / "model") as stage:
            bundle = publish(stage, tmp_path / "model", private)
    finally:
        os.umask(before)
    modes = [path.stat().st_mode & 0o777 for path in (bundle, bundle / "inner", bundle / "inner" / "file")]
    assert modes == [folder_mode, folder_mode, file_mode]


def test_the_next_version_is_above_all_that_stands_there(tmp_path: Path) -> None:
    for name in ("2", "0", "-9", "007", "8.0", "x9", "9" * 30, "٩"):
        (tmp_path / name).mkdir()
    (tmp_path / "5").write_text("in the way")
    assert build(tmp_path).name == "6"
    assert build(tmp_path).name == "7"
    assert versions(tmp_path) == [6, 7]


def test_where_no_version_is_left_it_is_told(tmp_path: Path) -> None:
    (tmp_path / str(2**63 - 1)).mkdir()
    with pytest.raises(StoreError, match="no version number left"):
        build(tmp_path)


def test_only_whole_bundles_are_found(tmp_path: Path) -> None:
    exported = tmp_path / "exported"
    assert (versions(exported / "a"), newest(exported, "a"), bundles(exported)) == ([], None, [])
    for _ in range(11):
        build(exported / "b")
    build(exported / "a")
    (exported / "b" / "12").mkdir()
    (exported / "README.md").touch()
    assert newest(exported, "b") == exported / "b" / "11"
    assert bundles(exported) == [exported / "a" / "1", *(exported / "b" / str(number) for number in range(1, 12))]
    shutil.rmtree(exported / "b" / "11")
    assert newest(exported, "b") == exported / "b" / "10"


def test_an_empty_folder_or_a_new_one_can_be_the_target(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("behind")
    for name in ("empty", "deep/new", "link"):
        bundle = build_at(tmp_path / name)
        assert (tmp_path / name / MANIFEST).read_text() == "1"
        assert bundle == (tmp_path / name).resolve()
    assert names(tmp_path) == {"empty", "deep", "link", "behind"}


def test_a_taken_target_is_refused_before_anything_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "full" / "inner").mkdir(parents=True)
    (tmp_path / "file").touch()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for name in ("full", "file", "here"):
        with pytest.raises(UsageError) as caught:
            staging_for(tmp_path / name)
        assert caught.value.hint
    assert names(tmp_path) == {"full", "file", "here"}


def test_a_target_taken_at_the_last_moment_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "out"

    def another(version: int) -> None:
        (target / "inner").mkdir(parents=True)

    with pytest.raises(UsageError, match="is already there"), staging_for(target) as stage:
        publish_at(stage, target, another)
    assert names(tmp_path) == {"out"}
    assert names(target) == {"inner"}


@pytest.mark.parametrize(
    ("marker", "content"),
    [("tfx-export.toml", ""), ("pyproject.toml", "[tool.tfx-export]"), ("pyproject.toml", "[tool.tfx-export.build]")],
)
def test_the_nearest_marked_folder_is_the_root(tmp_path: Path, marker: str, content: str) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (tmp_path / marker).write_text(content)
    (inner.parent / "pyproject.toml").write_text("[tool.other]\n[project]\nname = 'x'")
    assert find_root(inner) == tmp_path
    assert find_root(tmp_path) == tmp_path
    (inner / "tfx-export.toml").touch()
    assert find_root(inner) == inner


def test_without_a_mark_the_start_is_the_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_root(Path()) == Path()


@pytest.mark.parametrize("name", ["tfx-export.toml", "pyproject.toml"])
@pytest.mark.parametrize("content", [b"[build]\nformats = [", b"\nx = '\xff'"])
def test_a_malformed_file_is_told_with_its_line(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=rf"{name} is not .*line 2"):
        find_root(tmp_path)
