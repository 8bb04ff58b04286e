"""Puts a version where the server looks, and takes one out again: each by one rename."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toolkit.core.artifact import Artifact, Manifest
from toolkit.core.files import publish_directory, storage_errors, sync_folder
from toolkit.core.store import staging
from toolkit.deploying import records
from toolkit.deploying.layout import FACTS_FILE, Layout
from toolkit.deploying.records import Record
from toolkit.errors import DeployError, StoreError


def served_artifact(manifest: Manifest) -> Artifact:
    """The artifact that TensorFlow Serving loads.

    Raises:
        DeployError: the bundle has none, or it did not pass.
    """
    found = manifest.artifact("saved_model")
    if found is None or found.parity.status != "pass":
        raise DeployError(
            f"the bundle of {manifest.model} has no proven SavedModel",
            hint="build it with --formats saved_model",
        )
    return found


def check_space(layout: Layout, size_bytes: int) -> None:
    """Refuses a target that is not writable or too full, before anything is copied.

    Raises:
        StoreError: with the figures.
    """
    with storage_errors(layout.base):
        layout.base_path.mkdir(parents=True, exist_ok=True)
        layout.own.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(layout.base).free
    # Copy and rename need the size once; the margin is for the records and what others write meanwhile.
    if free < size_bytes * 1.05 + 1e6:
        raise StoreError(
            f"{layout.base} has {free / 1e6:.1f} MB free, {size_bytes / 1e6:.1f} MB are needed",
            hint=f"free some, for instance with `tfx-export gc {layout.base_path}`",
        )


def publish(layout: Layout, bundle: Path, manifest: Manifest, facts: Mapping[str, Any]) -> int:
    """Copy the SavedModel and a small facts file beside the base path, then let it appear; gives the version.

    The caller holds the model's lock. Killed anywhere, the base path holds only whole versions, and the stage of a dead
    deployment is cleared by the next one.
    """
    artifact = served_artifact(manifest)
    with storage_errors(layout.base_path):
        layout.base_path.mkdir(parents=True, exist_ok=True)
    with staging(layout.own) as stage:
        with storage_errors(stage):
            shutil.copytree(bundle / artifact.path, stage, dirs_exist_ok=True)
            version = layout.vacant(manifest.version, records.versions_used(layout))
            document = {
                "model": manifest.model,
                "bundle_version": manifest.version,
                "sha256": artifact.sha256,
                "source_sha256": manifest.source.sha256,
                "toolchain": dict(manifest.toolchain),
                **facts,
            }
            (stage / FACTS_FILE).write_text(json.dumps(document, indent=1) + "\n")
        publish_directory(stage, layout.base_path / str(version))
    records.append(layout, Record("publish", version, "done", facts={"sha256": artifact.sha256, **facts}))
    return version


def withdraw(layout: Layout, version: int, reason: str) -> None:
    """Take a version out, so that the server goes back to the one before it. The caller holds the model's lock.

    Raises:
        DeployError: there is no such version.
    """
    if version not in layout.versions():
        raise DeployError(
            f"{layout.base_path} has no version {version}",
            hint=f"it has {', '.join(map(str, layout.versions())) or 'none'}",
        )
    with storage_errors(layout.withdrawn):
        layout.withdrawn.mkdir(parents=True, exist_ok=True)
        target = layout.withdrawn / str(version)
        if target.exists():
            # Put there by hand twice: keep what we have and name the newer one apart.
            target = layout.withdrawn / f"{version}.{len(list(layout.withdrawn.iterdir()))}"
        layout.version_path(version).rename(target)
        sync_folder(layout.withdrawn)
        sync_folder(layout.base_path)
    records.append(layout, Record("rollback", version, "done", reason))


def restore(layout: Layout, version: int) -> None:
    """Bring a withdrawn version back. The caller holds the model's lock.

    Raises:
        DeployError: there is no such version, or its number is taken.
    """
    if version not in layout.withdrawn_versions():
        raise DeployError(
            f"no version {version} of {layout.name} was withdrawn",
            hint=f"withdrawn: {', '.join(map(str, layout.withdrawn_versions())) or 'none'}",
        )
    with storage_errors(layout.base_path):
        target = layout.base_path / str(version)
        if target.exists():
            raise DeployError(f"{target} is there already", hint="nothing was changed")
        (layout.withdrawn / str(version)).rename(target)
        sync_folder(layout.base_path)
        sync_folder(layout.withdrawn)
    records.append(layout, Record("promote", version, "done"))


def read_facts(layout: Layout, version: int) -> dict[str, Any]:
    """What was written beside a version's SavedModel; empty for a directory put there by hand."""
    try:
        found: dict[str, Any] = json.loads((layout.version_path(version) / FACTS_FILE).read_text())
    except (OSError, ValueError):
        return {}
    return found
