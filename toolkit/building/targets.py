"""Opens what was built: an artifact of a bundle, or a bare artifact file, as a Runner."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from toolkit.core.artifact import GOLDEN, MANIFEST, Artifact, Manifest, read_manifest
from toolkit.core.golden import read_golden
from toolkit.core.model import DEFAULT_SIGNATURE
from toolkit.core.plugins import RUNTIMES, Opening, Runtime
from toolkit.core.runner import CheckedRunner, Runner
from toolkit.core.store import versions
from toolkit.core.tensors import Feed, Signature
from toolkit.errors import CatalogError, UsageError, nearest
from toolkit.verifying.bundle import runtimes_for

_SUFFIXES = {".onnx": "onnx", ".tflite": "tflite"}


@dataclass(frozen=True)
class Opened:
    """A runner not yet entered, and a golden feed for it where its bundle has one."""

    runner: AbstractContextManager[Runner]
    golden_feed: Feed | None


def find_bundle(path: Path) -> Path:
    """The bundle at a path: itself, or the newest version below a model's folder.

    Raises:
        CatalogError: there is none.
    """
    if (path / MANIFEST).exists():
        return path
    below = versions(path) if path.is_dir() else []
    if below:
        return path / str(below[-1])
    raise CatalogError(f"{path} is no bundle", hint="give exported/<model>/<version>; `tfx-export build` makes one")


def open_bundle(bundle: Path, name: str | None, signature: str | None, threads: int | None = None) -> Opened:
    """One artifact of a bundle; without a name the first one that passed.

    Raises:
        CatalogError: the bundle has no such artifact or signature.
    """
    manifest = read_manifest(bundle)
    artifact = _artifact(manifest, name)
    chosen = _signature(artifact, signature)
    opening = Opening(bundle / artifact.paths[chosen], chosen, manifest.signatures[chosen], threads)
    cases = read_golden(bundle / GOLDEN, manifest.signatures)
    feed = next((case.feed for case in cases if case.signature == chosen), None)
    return Opened(_runner(runtimes_for(artifact)[-1], opening), feed)


def open_file(path: Path, signature: str | None) -> Opened:
    """A TFLite or ONNX file, or a SavedModel directory, that stands alone."""
    kind = "saved_model" if (path / "saved_model.pb").exists() else _SUFFIXES.get(path.suffix)
    if kind is None:
        raise CatalogError(
            f"{path} is neither a bundle nor an artifact",
            hint="give a bundle, a SavedModel directory, .tflite or .onnx",
        )
    runtime = next(found for found in RUNTIMES.load_all() if kind in found.opens)
    opening = Opening(path, signature or DEFAULT_SIGNATURE, Signature({}))
    return Opened(_runner(runtime, opening), None)


def _runner(runtime: Runtime, opening: Opening) -> AbstractContextManager[Runner]:
    @contextmanager
    def checked() -> Iterator[Runner]:
        with runtime.open(opening) as runner:
            yield CheckedRunner(runner)

    return checked()


def _artifact(manifest: Manifest, name: str | None) -> Artifact:
    made = [artifact for artifact in manifest.artifacts if artifact.parity.status == "pass"]
    if name is None and made:
        return made[0]
    found = manifest.artifact(name) if name else None
    if found is None:
        names = [artifact.name for artifact in made]
        raise CatalogError(f"the bundle of {manifest.model} has no artifact '{name}'", hint=nearest(name or "", names))
    if found.parity.status != "pass":
        raise CatalogError(
            f"'{name}' of {manifest.model} was not made: {found.parity.reason}",
            hint=f"it has {', '.join(artifact.name for artifact in made)}",
        )
    return found


def _signature(artifact: Artifact, wanted: str | None) -> str:
    known = list(artifact.paths)
    if wanted is None:
        if DEFAULT_SIGNATURE in known:
            return DEFAULT_SIGNATURE
        if len(known) == 1:
            return known[0]
        raise UsageError("which signature?", hint=f"--signature {' | '.join(known)}")
    if wanted not in known:
        # A bundle with one signature is asked by whatever name: the caller means that one.
        if wanted == DEFAULT_SIGNATURE and len(known) == 1:
            return known[0]
        raise CatalogError(f"'{artifact.name}' has no signature '{wanted}'", hint=nearest(wanted, known))
    return wanted
