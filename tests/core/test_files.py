"""Locks that hold only among the living, hashes of plain files only, and a folder published by one rename."""

import errno
import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.core.files import (
    digest_of,
    exclusive,
    folder,
    hash_file,
    hash_files,
    publish_directory,
    storage_errors,
    sync_folder,
)
from toolkit.errors import ParityError, StoreError, UsageError


def test_a_lock_keeps_others_out_and_leaves_no_file(tmp_path: Path) -> None:
    lock = tmp_path / "new" / ".lock"
    with exclusive(lock):
        with pytest.raises(BlockingIOError), exclusive(lock, wait=False):
            pass
        assert lock.exists()
    assert not lock.exists()
    with exclusive(lock, wait=False):
        assert lock.exists()


def test_a_lock_admits_one_at_a_time_though_each_removes_its_file(tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    counter.write_text("0")

    def count(_: int) -> None:
        with exclusive(tmp_path / ".lock"):
            counter.write_text(str(int(counter.read_text()) + 1))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(count, range(400)))
    assert counter.read_text() == "400"


def test_a_lock_file_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / ".lock").symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match="symbolic"), exclusive(tmp_path / ".lock"):
        pass
    assert not (tmp_path / "precious").exists()


def test_folders_made_for_nothing_go_and_others_stay(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    with folder(tmp_path / "old" / "new" / "inner"):
        assert (tmp_path / "old" / "new" / "inner").is_dir()
    assert [entry.name for entry in tmp_path.rglob("*")] == ["old"]
    with folder(tmp_path / "old") as path:
        pass
    assert path.is_dir()
    with folder(tmp_path / "used" / "inner") as path:
        (path.parent / "file").touch()
    assert (tmp_path / "used" / "file").exists()
    assert not path.exists()


def test_every_file_is_hashed_by_its_posix_path_in_order(tmp_path: Path) -> None:
    contents = {"b/z": b"1", "b.a": b"", "a/b/c": b"2" * 100_000, "ü \n": b"3", ".hidden": b"4"}
    for name, content in contents.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    (tmp_path / "empty").mkdir()
    found = hash_files(tmp_path)
    assert found == {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    assert list(found) == sorted(contents)
    assert hash_file(tmp_path / "b.a") == found["b.a"]


def test_a_name_that_is_no_utf_8_can_be_hashed(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xff")).touch()
    assert len(digest_of(hash_files(tmp_path))) == 64


@pytest.mark.parametrize("kind", ["link to a file", "link to a folder", "dangling link", "pipe"])
def test_what_is_no_plain_file_is_neither_hashed_nor_published(tmp_path: Path, kind: str) -> None:
    odd = tmp_path / "stage" / "inner" / "odd"
    odd.parent.mkdir(parents=True)
    if kind == "pipe":
        os.mkfifo(odd)
    else:
        odd.symlink_to({"link to a file": __file__, "link to a folder": str(tmp_path)}.get(kind, "nowhere"))
    with pytest.raises(ParityError, match=r"inner/odd is (a link|no regular file)"):
        hash_files(tmp_path / "stage")
    with pytest.raises(ParityError):
        publish_directory(tmp_path / "stage", tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_a_folder_that_is_missing_cannot_be_hashed(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no such file or directory"):
        hash_files(tmp_path / "missing")


@given(st.dictionaries(st.text(), st.text(), max_size=4), st.dictionaries(st.text(), st.text(), max_size=4))
def test_a_digest_tells_mappings_apart_and_not_their_order(one: dict[str, str], other: dict[str, str]) -> None:
    assert (digest_of(one) == digest_of(other)) is (one == other)
    assert digest_of(dict(reversed(one.items()))) == digest_of(one)


def test_a_directory_is_published_once(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    publish_directory(tmp_path / "one", tmp_path / "target")
    with pytest.raises(UsageError, match="is already there"):
        publish_directory(tmp_path / "two", tmp_path / "target")
    assert (tmp_path / "target" / "file").read_text() == "one"
    assert not (tmp_path / "one").exists()


def test_everything_is_on_the_disk_before_it_appears(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    fsync, rename = os.fsync, os.rename

    def noting_fsync(descriptor: int) -> None:
        calls.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        fsync(descriptor)

    def noting_rename(source: Path, target: Path) -> None:
        calls.append("rename")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", noting_fsync)
    monkeypatch.setattr(os, "rename", noting_rename)
    (tmp_path / "stage" / "inner").mkdir(parents=True)
    (tmp_path / "stage" / "inner" / "file").touch()
    publish_directory(tmp_path / "stage", tmp_path / "target")
    assert calls == ["file", "inner", "stage", "rename", tmp_path.name]


def test_a_file_system_that_cannot_sync_folders_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(os, "fsync", refuse)
    sync_folder(tmp_path)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), r"place: no space left on device \([\d,]+ bytes free\)"),
        (OSError(errno.EROFS, "Read-only file system", "other"), "other: read-only file system"),
        (OSError(errno.EEXIST, "File exists", b"other"), "other: not a folder"),
        (OSError(errno.EBADF, "Bad file descriptor", 7), "place: bad file descriptor"),
        (OSError("something"), "place: something"),
    ],
)
def test_what_the_system_says_is_told_in_one_line(tmp_path: Path, error: OSError, message: str) -> None:
    with pytest.raises(StoreError, match=message) as caught, storage_errors(tmp_path / "place"):
        raise error
    assert caught.value.hint
