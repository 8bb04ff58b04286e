"""Turns what `serve` is pointed at, a folder, into the models of a configuration."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from toolkit.core.artifact import MANIFEST, read_manifest
from toolkit.core.store import versions
from toolkit.errors import CatalogError
from toolkit.serving.disk import versions_on_disk
from toolkit.serving.graph_files import SAVED_MODEL, TEXT
from toolkit.serving.servables import TFLITE_FILE
from toolkit.wire.messages import Keep, ModelConfig, VersionPolicy

_SERVED_FILES = (MANIFEST, SAVED_MODEL, TEXT, TFLITE_FILE)


@contextmanager
def models_at(place: Path) -> Iterator[list[ModelConfig]]:
    """The models in a folder, for as long as they are served.

    A folder of models' folders (exported/), one model's folder of versions, or a single version.

    Raises:
        CatalogError: nothing in it can be served.
    """
    folder = place.absolute()
    if _is_version(folder):
        with tempfile.TemporaryDirectory(prefix="tfx-export-") as own:
            yield [single_version(folder, Path(own))]
        return
    if _has_versions(folder):
        yield [ModelConfig(folder.name, str(folder))]
        return
    below = sorted(entry for entry in folder.iterdir() if entry.is_dir()) if folder.is_dir() else []
    found = [ModelConfig(entry.name, str(entry)) for entry in below if versions(entry)]
    if not found:
        raise CatalogError(
            f"there is nothing to serve in {place}",
            hint="give exported/, exported/MODEL, a bundle, or a folder of SavedModel versions; see `tfx-export build`",
        )
    yield found


def single_version(folder: Path, own: Path) -> ModelConfig:
    """One version's folder as a model with that version only.

    Args:
        folder: where the version is.
        own: an empty folder, where a version without a number gets one.
    """
    name = read_manifest(folder).model if (folder / MANIFEST).is_file() else folder.parent.name
    number = next((number for number, path in (versions_on_disk(folder.parent) or {}).items() if path == folder), None)
    if number is not None:
        return ModelConfig(name, str(folder.parent), policy=VersionPolicy(Keep.SPECIFIC, versions=(number,)))
    if not (folder / MANIFEST).is_file():
        name = folder.name
    (own / "1").symlink_to(folder, target_is_directory=True)
    return ModelConfig(name, str(own))


def _is_version(folder: Path) -> bool:
    return any((folder / name).is_file() for name in _SERVED_FILES)


def _has_versions(folder: Path) -> bool:
    return any(map(_is_version, (versions_on_disk(folder) or {}).values()))
