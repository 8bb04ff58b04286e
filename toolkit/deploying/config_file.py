"""A models.config that is ours to edit: one model's versions and labels in it, every other model as it stands."""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.core.files import exclusive, storage_errors, sync_folder
from toolkit.deploying.layout import Layout
from toolkit.errors import UsageError, WireError
from toolkit.wire import protos
from toolkit.wire.configs import TENSORFLOW

CANARY = "canary"
STABLE = "stable"


@dataclass(frozen=True)
class Entry:
    """What the file says of one model.

    Args:
        versions: those of the `specific` policy; empty for a model that the file does not have.
        labels: label to version.
    """

    versions: tuple[int, ...] = ()
    labels: Mapping[str, int] | None = None

    def label(self, name: str) -> int | None:
        """The version that a label stands for."""
        return (self.labels or {}).get(name)

    def having(self, versions: Iterable[int], labels: Mapping[str, int]) -> "Entry":
        """Other versions and labels; what a label stands for is always among the versions."""
        return Entry(tuple(sorted({*versions, *labels.values()})), dict(labels))

    @property
    def named(self) -> set[int]:
        """Every version that the server is told of."""
        return {*self.versions, *(self.labels or {}).values()}


@dataclass(frozen=True)
class ConfigFile:
    """A --model_config_file."""

    path: Path

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Waits until nobody else edits the file: deployments of two models side by side would undo each other."""
        with storage_errors(self.path), exclusive(self._beside("lock")):
            yield

    def text(self) -> str:
        """As it stands.

        Raises:
            UsageError: it cannot be read.
        """
        try:
            return self.path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            said = getattr(error, "strerror", None) or str(error)
            raise UsageError(
                f"--config {self.path}: {said}", hint="give a models.config; `model_config_list {}` will do"
            ) from error

    def read(self, layout: Layout) -> Entry:
        """What it says of a model.

        Raises:
            UsageError: it has the model at another place or with another policy, so that a rename would go live.
            WireError: it is no config.
        """
        found = _find(self._proto(), layout.name)
        if found is None:
            return Entry()
        if Path(found.base_path) != layout.base_path:
            raise UsageError(
                f"{self.path} has {layout.name} at {found.base_path}, not at {layout.base_path}",
                hint="give --to and --as that fit the file",
            )
        policy = found.model_version_policy
        if policy.WhichOneof("policy_choice") != "specific":
            raise UsageError(
                f"{self.path} serves every new version of {layout.name} at once, so that none can be tried first",
                hint="write model_version_policy { specific { versions: N } } with the version that is served now",
            )
        return Entry(tuple(policy.specific.versions), dict(found.version_labels))

    def write(self, layout: Layout, entry: Entry) -> str:
        """Replaces what it says of one model; gives the new text. An entry without versions removes the model.

        The caller holds the file alone.
        """
        proto = self._proto()
        found = _find(proto, layout.name)
        if not entry.versions:
            if found is not None:
                proto.model_config_list.config.remove(found)
        else:
            if found is None:
                found = proto.model_config_list.config.add(name=layout.name, base_path=str(layout.base_path))
                found.model_platform = TENSORFLOW
            found.model_version_policy.specific.versions[:] = entry.versions
            found.version_labels.clear()
            found.version_labels.update(entry.labels or {})
        proto.model_config_list.SetInParent()  # a list without models is still a list
        text = protos.text_of(proto)
        self._replace(text)
        return text

    def _proto(self) -> Any:
        try:
            proto = protos.parse_text(protos.ModelServerConfig, self.text())
        except WireError as error:
            raise WireError(f"--config {self.path}: {error.message}", hint=error.hint) from error
        if proto.WhichOneof("config") == "custom_model_config":
            raise UsageError(f"{self.path} holds a custom config", hint="give one with a model_config_list")
        return proto

    def _replace(self, text: str) -> None:
        stage = self._beside("new")
        with storage_errors(self.path):
            stage.unlink(missing_ok=True)  # of a run that was killed
            try:
                with stage.open("x", encoding="utf-8") as file:
                    os.fchmod(file.fileno(), self.path.stat().st_mode & 0o777)
                    file.write(text)
                    file.flush()
                    os.fsync(file.fileno())
                stage.rename(self.path)
            finally:
                stage.unlink(missing_ok=True)
            sync_folder(self.path.parent)

    def _beside(self, what: str) -> Path:
        return self.path.with_name(f".{self.path.name}.{what}")


def _find(proto: Any, name: str) -> Any:
    return next((config for config in proto.model_config_list.config if config.name == name), None)
