"""exported/<model>/<version>/: where it is, a private stage in it, publication by one rename, and what is there."""

import re
import secrets
import shutil
import tomllib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from toolkit.core.files import (
    FULL,
    UNWRITABLE,
    digest_of,
    exclusive,
    folder,
    hash_file,
    hash_files,
    publish_directory,
    storage_error,
    storage_errors,
)
from toolkit.errors import StoreError, UsageError

__all__ = [
    "MANIFEST",
    "bundles",
    "digest_of",
    "find_root",
    "hash_file",
    "hash_files",
    "newest",
    "publish",
    "publish_at",
    "publish_directory",
    "read_toml",
    "staging",
    "staging_for",
    "versions",
]
MANIFEST = "manifest.json"
_VERSION = re.compile(r"[1-9][0-9]{0,18}")
# TensorFlow Serving holds a version in an int64.
_MAX_VERSION = 2**63 - 1
# Distinct enough that no other program's folder is ever taken for a dead stage.
_STAGE = re.compile(r"(\.staging-tfx-[0-9a-f]{16})(\.lock)?")


def find_root(start: Path) -> Path:
    """The nearest folder from `start` upwards with tfx-export.toml or a [tool.tfx-export] table; else `start`.

    Raises:
        UsageError: a file on the way is not TOML.
    """
    absolute = start.absolute()
    for place in (absolute, *absolute.parents):
        settings, project = place / "tfx-export.toml", place / "pyproject.toml"
        if settings.is_file():
            read_toml(settings)
            return place
        if project.is_file():
            tools = read_toml(project).get("tool")
            if isinstance(tools, dict) and isinstance(tools.get("tfx-export"), dict):
                return place
    return start


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file.

    Raises:
        UsageError: it is not TOML; the message has the line.
    """
    with storage_errors(path):
        data = path.read_bytes()
    try:
        return tomllib.loads(data.decode())
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{path} is not UTF-8 (at line {line})", hint="save it as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        # The parser has no number for the last line, where what was opened should have been closed.
        problem = str(error).replace("at end of document", f"at the end, line {len(data.splitlines())}")
        raise UsageError(f"{path} is not TOML: {problem}", hint="correct that line") from error


@contextmanager
def staging(base: Path) -> Iterator[Path]:
    """A fresh private folder in `base` to make a bundle in; gone at the end unless it was published.

    The stages that killed processes left in `base` are cleared first.

    Raises:
        StoreError: `base` cannot be made or written, or is full; nothing is left.
    """
    with ExitStack() as held:
        with storage_errors(base):
            held.enter_context(folder(base))
            stage = base / f".staging-tfx-{secrets.token_hex(8)}"
            # Held before the stage is there and until it is gone: a stage whose lock is free has no owner.
            held.enter_context(exclusive(_lock_of(stage)))
            _clear_dead_stages(base)
            held.callback(shutil.rmtree, stage, ignore_errors=True)
            stage.mkdir()
        try:
            yield stage
        except OSError as error:
            if not _is_about(error, base):
                raise
            raise storage_error(error, base) from error


def staging_for(target: Path) -> AbstractContextManager[Path]:
    """A stage beside `target`, for `publish_at`.

    Raises:
        UsageError: `target` is taken.
    """
    place = _vacant(target)
    return staging(place.parent)


def _lock_of(stage: Path) -> Path:
    return stage.with_name(f"{stage.name}.lock")


def _clear_dead_stages(base: Path) -> None:
    names = {match[1] for entry in base.iterdir() if (match := _STAGE.fullmatch(entry.name))}
    for name in sorted(names):
        stage = base / name
        # A live owner keeps us out, and so may permissions: what is not ours to clear stays.
        with suppress(OSError), exclusive(_lock_of(stage), wait=False):
            shutil.rmtree(stage, ignore_errors=True)


def _is_about(error: OSError, base: Path) -> bool:
    # A block that builds a model may fail on files of its author's; those are not the store's to explain.
    if error.errno in FULL:
        return True
    inside = isinstance(error.filename, str) and Path(error.filename).absolute().is_relative_to(base.absolute())
    return error.errno in UNWRITABLE and inside


def publish(stage: Path, base: Path, finish: Callable[[int], None]) -> Path:
    """Let a stage of `base` appear as its next free version.

    Args:
        stage: what `staging(base)` gave.
        base: exported/<model>.
        finish: gets the version and writes the last of the stage, its manifest.

    Raises:
        StoreError: the place is full or cannot be written; nothing has appeared.
    """
    with storage_errors(base), exclusive(base / ".lock"):
        version = _next_version(base)
        finish(version)
        target = base / str(version)
        publish_directory(stage, target)
        return target


def publish_at(stage: Path, target: Path, finish: Callable[[int], None]) -> Path:
    """Let a stage of `staging_for(target)` appear as `target`, with version 1.

    Raises:
        UsageError: `target` is taken.
        StoreError: the place is full or cannot be written; nothing has appeared.
    """
    place = _vacant(target)
    with storage_errors(place):
        finish(1)
        publish_directory(stage, place)
    return place


def _vacant(target: Path) -> Path:
    with storage_errors(target):
        # A link to a folder cannot be renamed onto; what it points to can.
        place = target.resolve()
        if place == Path.cwd():
            raise UsageError(
                f"{target} is the current folder, which a rename would pull away from under you",
                hint="name a new folder in it",
            )
        if place.exists() and not (place.is_dir() and not any(place.iterdir())):
            raise UsageError(f"{target} is already there", hint="name another place, or remove it first")
    return place


def _next_version(base: Path) -> int:
    # Whatever stands under a version's name takes it, whole or not.
    taken = (int(entry.name) for entry in base.iterdir() if _VERSION.fullmatch(entry.name))
    version = max((number for number in taken if number <= _MAX_VERSION), default=0) + 1
    if version > _MAX_VERSION:
        raise StoreError(f"{base} has no version number left", hint=f"remove {base / str(_MAX_VERSION)}")
    return version


def versions(base: Path) -> list[int]:
    """The versions of exported/<model>, ascending; whole bundles only."""
    with storage_errors(base):
        if not base.is_dir():
            return []
        names = [entry.name for entry in base.iterdir() if (entry / MANIFEST).is_file()]
    found = sorted(int(name) for name in names if _VERSION.fullmatch(name))
    return [version for version in found if version <= _MAX_VERSION]


def newest(exported: Path, model: str) -> Path | None:
    """The bundle of a model with the highest version."""
    found = versions(exported / model)
    return exported / model / str(found[-1]) if found else None


def bundles(exported: Path) -> list[Path]:
    """All whole bundles, by model and version."""
    with storage_errors(exported):
        models = sorted(entry for entry in exported.iterdir() if entry.is_dir()) if exported.is_dir() else []
    return [model / str(version) for model in models for version in versions(model)]
