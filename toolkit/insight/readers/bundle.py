"""Reads a bundle: its manifest, and each artifact by the reader that knows it."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from toolkit.core.artifact import MANIFEST, Manifest, read_manifest
from toolkit.core.tensors import TensorSpec
from toolkit.insight.bounds import Budget, damaged, outside, printable, reading, size_of
from toolkit.insight.inspection import Call, Inspection, Tensor
from toolkit.insight.places import about_places, place_of, places_within
from toolkit.insight.reader import READERS, Reader


def knows(path: Path) -> bool:
    """A folder with a manifest."""
    return (path / MANIFEST).is_file()


def read(path: Path, budget: Budget) -> Inspection:
    """The facts of a bundle and of what is in it."""
    with reading(path / MANIFEST, TypeError, AttributeError, ValueError):
        manifest = read_manifest(path)
        named = dict(_files(path, manifest))
    parts = {name: replace(_part(file, budget), model=manifest.model) for name, file in named.items()}
    return Inspection(
        path=str(path),
        format="bundle",
        size_bytes=size_of(path),
        versions={
            "bundle": f"{manifest.model} {manifest.version}, built {manifest.created}",
            **{printable(name): printable(version) for name, version in manifest.toolchain.items()},
        },
        model=manifest.model,
        signatures=_calls(manifest, parts),
        findings=tuple(about_places(_places(manifest))),
        parts=parts,
        notes=tuple(printable(note) for note in (*_unmade(manifest), *manifest.notes)),
    )


def _files(bundle: Path, manifest: Manifest) -> Iterator[tuple[str, Path]]:
    """A part's name and its file or folder: what answers a signature, and what stands beside it in a split model."""
    for artifact in manifest.artifacts:
        answering = {file: name for name, file in artifact.paths.items()} if artifact.files else {}
        beside = [file for file in artifact.files if not _within(file, answering)]
        for file in (*answering, *beside):
            if outside(file):
                raise damaged(f"'{printable(artifact.name)}' lies outside of the bundle: {printable(file)}")
        known = [file for file in beside if _reader(bundle / file) is not None]
        for file in (*answering, *known):
            said = answering.get(file) or file.removeprefix(f"{artifact.path}/").removesuffix("/saved_model.pb")
            name = artifact.name if len(answering) + len(known) == 1 else f"{artifact.name}/{said}"
            yield printable(name), bundle / file


def _within(file: str, folders: Iterable[str]) -> bool:
    return any(file == folder or file.startswith(f"{folder}/") for folder in folders)


def _reader(file: Path) -> Reader | None:
    return next((reader for reader in READERS.load_all() if reader.name != READER.name and reader.knows(file)), None)


def _part(file: Path, budget: Budget) -> Inspection:
    known = _reader(file)
    if known is None:
        raise damaged(f"{file} is missing, or no artifact")
    return known.read(file, budget)


def _calls(manifest: Manifest, parts: dict[str, Inspection]) -> dict[str, Call]:
    # What the Examples of a signature hold stands only in a graph.
    known = {name: call.features for part in parts.values() for name, call in part.signatures.items() if call.features}
    return {
        printable(name): Call(
            {printable(key): _tensor(spec) for key, spec in signature.inputs.items()},
            {printable(key): _tensor(spec) for key, spec in signature.outputs.items()},
            signature.method,
            known.get(name, {}),
        )
        for name, signature in manifest.signatures.items()
    }


def _tensor(spec: TensorSpec) -> Tensor:
    return Tensor(spec.dtype, spec.shape)


def _unmade(manifest: Manifest) -> Iterator[str]:
    for artifact in manifest.artifacts:
        if not artifact.files:
            yield f"{artifact.name} was not made: {artifact.parity.reason}"


def _places(manifest: Manifest) -> Iterator[tuple[str, str]]:
    if place := place_of(manifest.source.reference):
        yield place, "manifest.json, source"
    said = [("side_effects", text) for text in manifest.trace.get("side_effects", ())]
    said += [("notes", text) for text in manifest.notes]
    yield from ((place, f"manifest.json, {where}") for where, text in said for place in places_within(text))


READER = Reader("bundle", knows, read, "a bundle's folder")
