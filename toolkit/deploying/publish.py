"""Puts a version where the server looks, and takes one out again: each by one rename."""

import json
import secrets
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from toolkit.core.artifact import Artifact, Manifest
from toolkit.core.files import hash_files, publish_directory, storage_errors, sync_folder
from toolkit.core.store import staging
from toolkit.deploying import records
from toolkit.deploying.layout import FACTS_FILE, Layout
from toolkit.deploying.proofs import keep_proof
from toolkit.deploying.records import Record
from toolkit.errors import DeployError, ParityError, StoreError, ToolkitError


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
    """Refuses a target that is too full or under a file, before anything is made there.

    Raises:
        StoreError: with the figures.
    """
    with storage_errors(layout.base):
        existing = next(place for place in (layout.base, *layout.base.parents) if place.exists())
        if not existing.is_dir():
            raise StoreError(f"{existing} is a file", hint="--to names the folder of the serving root")
        if layout.base_path.exists() and not layout.base_path.is_dir():
            raise StoreError(f"{layout.base_path} is a file", hint="move it away, or choose another name with --as")
        free = shutil.disk_usage(existing).free
    # Copy and rename need the size once; the margin is for the records and what others write meanwhile.
    if free < size_bytes * 1.05 + 1e6:
        raise StoreError(
            f"{existing} has {free / 1e6:.1f} MB free, {size_bytes / 1e6:.1f} MB are needed",
            hint=f"free some, for instance with `tfx-export gc {layout.base_path}`",
        )


def publish(layout: Layout, bundle: Path, manifest: Manifest, facts: Mapping[str, Any]) -> int:
    """Copy the SavedModel and a small facts file beside the base path, then let it appear; gives the version.

    The caller holds the model's lock. Killed anywhere, the base path holds only whole versions, and the stage of a dead
    deployment is cleared by the next one.

    Raises:
        ParityError: what was copied is not what was built.
        StoreError: the place is full or cannot be written; nothing is published.
    """
    artifact = served_artifact(manifest)
    version = layout.vacant(manifest.version, records.versions_used(layout))
    keep_proof(layout, bundle, version)
    with storage_errors(layout.base_path):
        layout.base_path.mkdir(parents=True, exist_ok=True)
    with staging(layout.own) as stage:
        with storage_errors(stage):
            shutil.copytree(bundle / artifact.path, stage, dirs_exist_ok=True)
            _check_copy(stage, artifact)
            document = {
                "model": manifest.model,
                "bundle_version": manifest.version,
                "sha256": artifact.sha256,
                "source_sha256": manifest.source.sha256,
                "toolchain": dict(manifest.toolchain),
                "when": records.now(),
                "gate": dict(facts),
            }
            (stage / FACTS_FILE).write_text(json.dumps(document, indent=1) + "\n")
        _appear(layout, stage, Record("publish", version, "done", facts={"sha256": artifact.sha256, **facts}))
    return version


def _check_copy(stage: Path, artifact: Artifact) -> None:
    # The gate asked the bundle; a disk that gives other bytes on the second reading must not reach production.
    wanted = {name.removeprefix(f"{artifact.path}/"): digest for name, digest in artifact.files.items()}
    if hash_files(stage) != wanted:
        raise ParityError(
            "the copy for production is not what was built: a file changed while it was copied",
            hint="check the disk, then `tfx-export verify` the bundle",
        )


def _appear(layout: Layout, stage: Path, record: Record) -> None:
    target = layout.base_path / str(record.version)
    try:
        publish_directory(stage, target)
        records.append(layout, record)
    except ToolkitError:
        if not stage.exists():
            # It went live and could not be made safe or told of: what nobody watches must not serve.
            with suppress(OSError):
                target.rename(stage)
        raise


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
        for path in reversed(layout.version_paths(version)):
            target = layout.withdrawn / str(version)
            if target.exists():
                # The number came twice, by hand: keep what is there, and the other one beside it.
                target = layout.withdrawn / f"{version}.{secrets.token_hex(4)}"
            path.rename(target)
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
        if layout.version_paths(version):
            raise DeployError(f"{layout.version_path(version)} is there already", hint="nothing was changed")
        layout.base_path.mkdir(parents=True, exist_ok=True)
        layout.withdrawn_path(version).rename(layout.base_path / str(version))
        sync_folder(layout.base_path)
        sync_folder(layout.withdrawn)
    records.append(layout, Record("promote", version, "done"))


def read_facts(layout: Layout, version: int) -> dict[str, Any]:
    """What was written beside a version's SavedModel; empty for a directory put there by hand."""
    for place in (layout.version_path(version), layout.withdrawn_path(version)):
        with suppress(OSError, ValueError):
            found = json.loads((place / FACTS_FILE).read_text())
            return found if isinstance(found, dict) else {}
    return {}
