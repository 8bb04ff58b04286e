"""The lock files say what pyproject.toml asks for, once, with hashes."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

LOCKS = ("requirements.lock", "requirements-dev.lock")


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_has_its_hashes(root: Path, lock: str) -> None:
    blocks = re.split(r"\n(?=\S)", (root / lock).read_text(encoding="utf-8"))
    assert [block for block in blocks if not block.startswith("#") and "--hash=sha256:" not in block] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_the_pins_are_within_what_pyproject_asks_for(root: Path, lock: str) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    if lock == "requirements-dev.lock":
        wanted += project["project"]["optional-dependencies"]["dev"]
    found = pins(root / lock)
    assert [text for text in wanted if not fits(Requirement(text), found)] == []


def test_nothing_stays_that_pyproject_no_longer_asks_for(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    text = (root / "requirements.lock").read_text(encoding="utf-8")
    direct = {block.split("==")[0] for block in re.split(r"\n(?=\S)", text) if "tfx-export (pyproject.toml)" in block}
    assert direct == {canonicalize_name(Requirement(line).name) for line in project["project"]["dependencies"]}


def test_the_development_lock_holds_the_whole_runtime_lock(root: Path) -> None:
    # scripts/test.sh counts requirements.lock as installed once it has installed the other.
    runtime, development = (pins(root / lock) for lock in LOCKS)
    assert runtime.items() <= development.items()


def test_what_only_training_needs_is_not_locked(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    training = {
        canonicalize_name(Requirement(text).name) for text in project["project"]["optional-dependencies"]["train"]
    }
    assert training & pins(root / "requirements-dev.lock").keys() == set()


def pins(lock: Path) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", lock.read_text(encoding="utf-8"), re.MULTILINE))


def fits(wanted: Requirement, pinned: dict[str, str]) -> bool:
    version = pinned.get(canonicalize_name(wanted.name))
    return version is not None and wanted.specifier.contains(version)
