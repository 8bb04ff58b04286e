"""Reads which versions of a model are on disk, and which of them a policy wants."""

import logging
from collections.abc import Iterable
from pathlib import Path

from toolkit.wire.configs import LOCAL
from toolkit.wire.messages import Keep, ModelConfig, VersionPolicy

log = logging.getLogger(__name__)

_MAX_VERSION = 2**63 - 1


def wanted_on_disk(config: ModelConfig) -> dict[int, Path] | None:
    """The versions that a model's policy wants, of those under its base path; None where that is missing."""
    found = versions_on_disk(directory_of(config.base_path))
    if found is None:
        log.warning("could not find base path %s for model %s", config.base_path, config.name)
        return None
    if not found:
        log.warning("no versions of model %s under base path %s", config.name, config.base_path)
    return {number: found[number] for number in wanted_versions(found, config.policy)}


def directory_of(base_path: str) -> Path:
    """The directory that a model's base path names: an absolute path, or a file:// URI."""
    return Path(base_path.removeprefix(LOCAL))


def versions_on_disk(base_path: Path) -> dict[int, Path] | None:
    """Version to its directory, by TensorFlow Serving's rule: names of decimal digits that fit into an int64.

    A plain file counts too: it becomes a version that cannot load. Of `007` and `7` the shorter name wins. None where
    the base path itself is missing, which keeps what is loaded; an empty one unloads it.
    """
    try:
        names = sorted((entry.name for entry in base_path.iterdir()), key=len, reverse=True)
    except OSError:
        return None
    numbers = {int(name): base_path / name for name in names if name.isascii() and name.isdecimal()}
    return {number: path for number, path in sorted(numbers.items()) if number <= _MAX_VERSION}


def wanted_versions(available: Iterable[int], policy: VersionPolicy) -> list[int]:
    """The versions that a policy wants loaded, ascending; of those asked for, the ones that are there."""
    known = sorted(available)
    if policy.keep is Keep.ALL:
        return known
    if policy.keep is Keep.SPECIFIC:
        return [version for version in known if version in policy.versions]
    return known[-max(1, policy.count) :]
