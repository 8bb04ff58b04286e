"""Opens what was built: an artifact of a bundle, or a bare artifact file, as a Runner."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from toolkit.core.artifact import GOLDEN, MANIFEST, Artifact, Manifest, read_manifest
from toolkit.core.files import storage_errors
from toolkit.core.golden import read_golden
from toolkit.core.model import DEFAULT_SIGNATURE
from toolkit.core.plugins import RUNTIMES, Opening, Runtime
from toolkit.core.runner import CheckedRunner, Runner
from toolkit.core.store import find_root, versions
from toolkit.core.tensors import Feed, Signature
from toolkit.errors import CatalogError, UnavailableError, UsageError, WireError, nearest
from toolkit.wire.signatures import read_saved_model

GRAPH = "saved_model.pb"
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
    # Without its manifest it is a bundle still, and a damaged one.
    if (path / MANIFEST).exists() or (path / GOLDEN).exists():
        return path
    below = versions(path) if path.is_dir() else []
    if below:
        return path / str(below[-1])
    exported = find_root(Path.cwd()) / "exported" / path
    if not path.exists() and versions(exported):
        raise CatalogError(f"{path} is no bundle", hint=f"did you mean {exported}?")
    raise CatalogError(f"{path} is no bundle", hint="give exported/<model>/<version>; `tfx-export build` makes one")


def open_path(path: Path, artifact: str | None, signature: str | None) -> Opened:
    """A bundle or a model's folder of bundles, an artifact in a bundle, or an artifact's file that stands alone.

    Raises:
        CatalogError: it is none of these, or has no such artifact or signature.
        UsageError: an artifact is asked for where there is but one.
    """
    home = _home_of(path)
    if home is None and not path.is_file() and not (path / GRAPH).exists():
        return open_bundle(find_bundle(path), artifact, signature)
    if artifact is not None:
        raise UsageError(f"{path} is one artifact", hint="--artifact chooses one of a bundle: leave it out")
    if home is None:
        return open_file(path, signature)
    bundle, found, only = home
    return open_bundle(bundle, found, signature or only)


def _home_of(path: Path) -> tuple[Path, str, str | None] | None:
    """The bundle that an artifact's folder or file is in, its name there, and the signature that the file answers."""
    absolute = path.absolute()
    for bundle in absolute.parents[:2]:
        if (bundle / MANIFEST).exists():
            inside = absolute.relative_to(bundle).as_posix()
            for artifact in read_manifest(bundle).artifacts:
                answered = [name for name, file in artifact.paths.items() if file == inside]
                if inside == artifact.path or answered:
                    return bundle, artifact.name, answered[0] if len(answered) == 1 else None
    return None


def open_bundle(bundle: Path, name: str | None, signature: str | None, threads: int | None = None) -> Opened:
    """One artifact of a bundle; without a name the first one that passed.

    Raises:
        CatalogError: the bundle has no such artifact or signature.
    """
    manifest = read_manifest(bundle)
    artifact = _artifact(manifest, name)
    chosen = _choose(artifact.name, list(artifact.paths), signature)
    opening = Opening(bundle / artifact.paths[chosen], chosen, manifest.signatures[chosen], threads)
    cases = read_golden(bundle / GOLDEN, manifest.signatures)
    feed = next((case.feed for case in cases if case.signature == chosen), None)
    return Opened(_runner(_runtime_for(artifact.format), opening), feed)


def open_file(path: Path, signature: str | None) -> Opened:
    """A TFLite or ONNX file, or a SavedModel directory, that stands alone."""
    kind = "saved_model" if (path / GRAPH).exists() else _SUFFIXES.get(path.suffix)
    if kind is None:
        raise CatalogError(
            f"{path} is neither a bundle nor an artifact",
            hint="give a bundle, a SavedModel directory, .tflite or .onnx",
        )
    if kind == "onnx" and signature is not None:
        raise UsageError(f"{path} is an ONNX file, which has no named signatures", hint="leave --signature out")
    chosen = _choose(path.name, _saved_signatures(path), signature) if kind == "saved_model" else signature
    opening = Opening(path, chosen or DEFAULT_SIGNATURE, Signature({}))
    return Opened(_runner(_runtime_for(kind), opening), None)


def _runtime_for(kind: str) -> Runtime:
    """What runs a kind of artifact for people: of several runtimes the one that bears its name."""
    able = [runtime for runtime in RUNTIMES.load_all() if kind in runtime.opens]
    if not able:
        raise UnavailableError(f"no runtime opens {kind}", hint=f"there are {', '.join(RUNTIMES.names())}")
    return next((runtime for runtime in able if runtime.name == kind), able[0])


def _saved_signatures(path: Path) -> list[str]:
    with storage_errors(path / GRAPH):
        content = (path / GRAPH).read_bytes()
    try:
        return [name for name in read_saved_model(content) if not name.startswith("__")]
    except WireError as error:
        raise CatalogError(f"{path / GRAPH}: {error.message}", hint="copy or save it again") from error


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


def _choose(what: str, known: Sequence[str], wanted: str | None) -> str:
    """The signature that is meant: the named one, else the default one, else the only one."""
    if wanted is not None and wanted in known:
        return wanted
    # Where there is only one, who asks for the default one means that one.
    if wanted in {None, DEFAULT_SIGNATURE} and (DEFAULT_SIGNATURE in known or len(known) == 1):
        return DEFAULT_SIGNATURE if DEFAULT_SIGNATURE in known else known[0]
    if wanted is None and known:
        raise UsageError(f"which signature of {what}?", hint=f"--signature {' | '.join(known)}")
    raise CatalogError(f"'{what}' has no signature '{wanted or DEFAULT_SIGNATURE}'", hint=nearest(wanted or "", known))
