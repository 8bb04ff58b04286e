"""Whoever is killed, full or in the way: a base path holds whole versions only, and the next run clears the rest."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.core.test_store_survives import Failing
from tests.deploying.conftest import StandIn
from toolkit.core.artifact import Manifest
from toolkit.core.files import hash_files
from toolkit.deploying import records
from toolkit.deploying.deployment import Plan, deploy
from toolkit.deploying.layout import FACTS_FILE, Layout
from toolkit.deploying.publish import publish, restore, withdraw
from toolkit.errors import DeployError, ExitCode, StoreError
from toolkit.verifying.bundle import check_files

Make = Callable[..., Path]


def names(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()} if folder.exists() else set()


def whole(version: Path) -> dict[str, str]:
    """The files of a version but for the facts, whose time differs."""
    return {name: digest for name, digest in hash_files(version).items() if name != FACTS_FILE}


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(
    ("verb", "before", "after"),
    [
        ("publish", [1], [1, 2]),
        ("withdraw", [1, 2], [1]),
        ("restore", [1], [1, 2]),
        ("gc", [1, 2], [2]),
    ],
)
def test_killed_at_any_call_only_whole_versions_are_seen_and_the_next_run_clears_the_rest(
    tmp_path: Path, root: Path, bundle: Make, *, verb: str, before: list[int], after: list[int], moment: str
) -> None:
    made = bundle()
    command = [
        sys.executable,
        str(Path(__file__).with_name("builder.py")),
        verb,
        str(tmp_path / "at"),
        str(made),
        moment,
    ]
    (tmp_path / "at").mkdir()
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(root)}, capture_output=True, check=True)
    wanted = whole(made / "saved_model")
    seen = set()
    for number in range(1, int(done.stdout)):
        layout = Layout(tmp_path / "at" / str(number), "times")
        versions = layout.versions()
        seen.add(tuple(versions))
        assert versions in (before, after), number
        assert names(layout.base_path) == set(map(str, versions)), number
        for place in (layout.base_path, layout.withdrawn):
            for name in names(place):
                assert whole(place / name) == wanted, (number, place)
                assert (place / name / FACTS_FILE).is_file(), (number, place)
        used = {*versions, *layout.withdrawn_versions()}
        with layout.alone():
            next_version = publish(layout, made, check_files(made), {})
        assert next_version == max(used, default=0) + 1, number
        assert names(layout.own) <= {"withdrawn", "proof"}, number
    assert seen == {tuple(before), tuple(after)}


def test_two_deployments_at_once_are_kept_apart(layout: Layout, plan: Callable[..., Plan], bundle: Make) -> None:
    with layout.alone(), pytest.raises(DeployError, match="another deployment of times is at work") as caught:
        deploy(plan(bundle()))
    assert caught.value.exit_code is ExitCode.REFUSED
    deploy(plan(bundle(version=2)))
    assert layout.versions() == [2]


def test_models_side_by_side_do_not_wait_for_each_other(tmp_path: Path) -> None:
    with Layout(tmp_path, "one").alone(), Layout(tmp_path, "two").alone():
        pass


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO])
@pytest.mark.parametrize("name", ["open", "mkdir", "rename", "fsync", "write"])
def test_a_full_or_closed_disk_is_told_and_leaves_the_base_path_as_it_was(
    layout: Layout,
    published: Callable[[int], None],
    bundle: Make,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    code: int,
) -> None:
    published(1)
    made = bundle(9.0, 2)
    manifest = check_files(made)
    failing = Failing(monkeypatch, name, code)
    told, at = 0, 0
    while True:
        at += 1
        failing.count, failing.at = 0, at
        error = failure(layout, made, manifest)
        if error is not None:
            told += 1
            assert (error.exit_code, names(layout.base_path)) == (ExitCode.MISSING, {"1"}), at
        if failing.count < at:
            break
        if layout.versions() != [1]:  # the failing call was one that may fail: a look at dead stages
            assert names(layout.base_path) == {"1", str(layout.versions()[-1])}
            with layout.alone():
                withdraw(layout, layout.versions()[-1], "again")
    assert told >= 1


def failure(layout: Layout, made: Path, manifest: Manifest) -> StoreError | None:
    try:
        with layout.alone():
            publish(layout, made, manifest, {})
    except StoreError as error:
        return error
    return None


def test_a_read_only_target_is_told_before_a_server_starts(
    layout: Layout, plan: Callable[..., Plan], bundle: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*given: object, **named: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(layout.base))

    made = plan(bundle())
    monkeypatch.setattr(StandIn, "line", lambda *_: pytest.fail("a server was started"))
    monkeypatch.setattr(os, "mkdir", refuse)
    with pytest.raises(StoreError, match="read-only file system") as caught:
        deploy(made)
    assert caught.value.exit_code is ExitCode.MISSING


def test_a_record_that_cannot_be_written_takes_the_version_back(
    layout: Layout, published: Callable[[int], None], bundle: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(1)
    made = bundle(9.0, 2)

    def full(*given: object) -> None:
        raise StoreError("no space left on device", hint="free some")

    monkeypatch.setattr(records, "append", full)
    with pytest.raises(StoreError), layout.alone():
        publish(layout, made, check_files(made), {})
    assert names(layout.base_path) == {"1"}
    assert names(layout.own) == {"proof"}


def test_what_is_withdrawn_comes_back_as_it_was(layout: Layout, published: Callable[[int], None]) -> None:
    published(2)
    before = hash_files(layout.base_path / "2")
    with layout.alone():
        withdraw(layout, 2, "wrong")
        assert (layout.versions(), layout.withdrawn_versions()) == ([1], [2])
        restore(layout, 2)
    assert layout.versions() == [1, 2]
    assert hash_files(layout.base_path / "2") == before
