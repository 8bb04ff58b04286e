"""Where a deployment's things are: the base path that TensorFlow Serving watches, and what we keep beside it."""

import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from toolkit.core.files import exclusive, folder, storage_errors, sync_folder
from toolkit.errors import DeployError, StoreError, UsageError

FACTS_FILE = "tfx-export.json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_VERSION = re.compile(r"[0-9]{1,19}")
_MAX_VERSION = 2**63 - 1  # TensorFlow Serving holds a version in an int64


@dataclass(frozen=True)
class Layout:
    """A model's place below a serving root.

    Args:
        base: the serving root, `--to`.
        name: the model; `base / name` is TensorFlow Serving's base path.
    """

    base: Path
    name: str

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise UsageError(f"'{self.name}' cannot name a served model", hint="use letters, digits, '_', '-' and '.'")

    @classmethod
    def of(cls, base_path: Path) -> "Layout":
        """The layout of `BASE/NAME` as people type it."""
        absolute = base_path.absolute()
        return cls(absolute.parent, absolute.name)

    def require(self) -> None:
        """Refuses a place where nothing was ever deployed.

        Raises:
            UsageError: there is neither a base path nor anything of ours beside it.
        """
        if not self.base_path.is_dir() and not self.own.is_dir():
            raise UsageError(f"nothing is deployed at {self.base_path}", hint="give BASE/NAME of `tfx-export deploy`")

    @property
    def base_path(self) -> Path:
        """What TensorFlow Serving watches; only whole versions ever stand in it."""
        return self.base / self.name

    @property
    def own(self) -> Path:
        """Stages, withdrawn versions and pins: beside the base path, on the same file system, where no server looks."""
        return self.base / f".tfx-{self.name}"

    @property
    def withdrawn(self) -> Path:
        """Versions that were taken out again."""
        return self.own / "withdrawn"

    @property
    def trash(self) -> Path:
        """What is being removed: whole versions come here by one rename, so that no half one is ever seen elsewhere."""
        return self.own / "trash"

    @property
    def pins(self) -> Path:
        """Empty files named after the versions that gc must keep."""
        return self.own / "pins"

    def proof(self, version: int) -> Path:
        """A published version's manifest and golden cases."""
        return self.own / "proof" / str(version)

    @property
    def records(self) -> Path:
        """What was done, a JSON line each, oldest first."""
        return self.base / f"{self.name}.deployments.jsonl"

    @property
    def lock(self) -> Path:
        """Held by the one deployment that may change this model."""
        return self.own / "deployment.lock"

    def versions(self) -> list[int]:
        """The versions that a server sees, ascending."""
        return _numbers(self.base_path)

    def withdrawn_versions(self) -> list[int]:
        """The versions that were taken out again, ascending."""
        return _numbers(self.withdrawn)

    def pinned(self) -> set[int]:
        """The versions that gc must keep."""
        return set(_numbers(self.pins))

    def version_path(self, version: int) -> Path:
        """A version's directory; TensorFlow Serving takes `007` for 7, and so do we."""
        return min(self.version_paths(version), key=lambda path: len(path.name), default=self.base_path / str(version))

    def version_paths(self, version: int) -> list[Path]:
        """Every name under which a server would find the version: `7` and `007` are both 7."""
        return sorted(path for path in _entries(self.base_path) if int(path.name) == version)

    def withdrawn_path(self, version: int) -> Path:
        """The directory of a version that was taken out; the same for one that is not there."""
        found = [path for path in _entries(self.withdrawn) if int(path.name) == version]
        return min(found, key=lambda path: len(path.name), default=self.withdrawn / str(version))

    def vacant(self, wanted: int, used: set[int]) -> int:
        """The version to publish as: the bundle's own where it is free and above all there ever were, else the next.

        Raises:
            StoreError: the highest number that a server can hold is taken.
        """
        highest = max([*self.versions(), *self.withdrawn_versions(), *used], default=0)
        if highest >= _MAX_VERSION:
            raise StoreError(
                f"{self.base_path} has no version number left", hint=f"version {highest} is the last one there is"
            )
        return wanted if wanted > highest else highest + 1

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keeps two deployments of a model apart.

        Raises:
            DeployError: another one is at work.
            StoreError: the place cannot be written.
        """
        with ExitStack() as held:
            with storage_errors(self.base):
                held.enter_context(folder(self.own))
                try:
                    held.enter_context(exclusive(self.lock, wait=False))
                except BlockingIOError as error:
                    raise DeployError(
                        f"another deployment of {self.name} is at work", hint="wait for it, then try again"
                    ) from error
                # What a killed run began to remove.
                shutil.rmtree(self.trash, ignore_errors=True)
            yield

    def discard(self, path: Path) -> None:
        """Removes a folder: out of sight by one rename first, so that a half-removed one is never taken for whole."""
        self.trash.mkdir(parents=True, exist_ok=True)
        gone = self.trash / secrets.token_hex(8)
        path.rename(gone)
        sync_folder(path.parent)
        shutil.rmtree(self.trash, ignore_errors=True)


def _entries(folder: Path) -> list[Path]:
    try:
        found = list(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [path for path in found if _VERSION.fullmatch(path.name) and int(path.name) <= _MAX_VERSION]


def _numbers(folder: Path) -> list[int]:
    return sorted({int(path.name) for path in _entries(folder)})
