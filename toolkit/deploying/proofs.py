"""What a version has to answer: its bundle's manifest and golden cases, kept for as long as it may be served."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from toolkit.core.artifact import GOLDEN, MANIFEST, Behaviour, Manifest, read_manifest
from toolkit.core.files import publish_directory, storage_errors
from toolkit.core.golden import Case, read_golden
from toolkit.core.parity import Allowed
from toolkit.core.store import staging
from toolkit.deploying.layout import Layout
from toolkit.verifying.parity import Expectation


@dataclass(frozen=True)
class Proof:
    """What a version has to answer: a bundle's manifest and golden cases."""

    manifest: Manifest
    cases: Sequence[Case]

    @classmethod
    def of(cls, directory: Path, manifest: Manifest) -> "Proof":
        """The proof in a bundle's directory."""
        return cls(manifest, read_golden(directory / GOLDEN, manifest.signatures))

    def expectation(self, signature: str) -> Expectation:
        """What one signature has to answer."""
        return Expectation(
            name=signature,
            signature=self.manifest.signatures[signature],
            cases=[case for case in self.cases if case.signature == signature],
            behaviour=self.manifest.behaviour.get(signature, Behaviour()),
            tolerances=self.manifest.tolerances,
            allowed=allowed_before(self.manifest),
        )


def keep_proof(layout: Layout, bundle: Path, version: int) -> None:
    """Keeps a version's manifest and golden cases beside the base path, to check it again after a rollback.

    It stands there whole before the version appears. What a run that died in between left for that number is replaced.
    """
    place = layout.proof(version)
    with staging(layout.own) as stage, storage_errors(place):
        for name in (MANIFEST, GOLDEN):
            shutil.copyfile(bundle / name, stage / name)
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.exists():
            layout.discard(place)
        publish_directory(stage, place)


def proof_of(layout: Layout, version: int) -> Proof | None:
    """What a published version has to answer; None for one that was put there by hand."""
    place = layout.proof(version)
    return Proof.of(place, read_manifest(place)) if (place / MANIFEST).is_file() else None


def allowed_before(manifest: Manifest) -> dict[str, Allowed]:
    """The differences that a person let pass when the bundle was built."""
    return {
        name: deviation.allowed
        for artifact in manifest.artifacts
        for check in artifact.parity.checks
        for name, deviation in check.outputs.items()
        if deviation.allowed
    }
