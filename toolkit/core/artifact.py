"""What a bundle holds and what was found of it: Artifact, Manifest, and their JSON with a schema number."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from toolkit.core.parity import DEFAULT_TOLERANCES, Parity, Tolerance, parity_from_json, parity_to_json
from toolkit.core.quantized import Quantized, quantized_from_json, quantized_to_json
from toolkit.core.tensors import Signature, TensorSpec
from toolkit.errors import CatalogError, ParityError

SCHEMA = 1
MANIFEST = "manifest.json"
GOLDEN = "golden.npz"
_NO_DIGEST = "0" * 64


@dataclass(frozen=True)
class Quality:
    """A task's metric of the baseline and of the candidate, on held-out data."""

    metric: str
    baseline: float
    candidate: float


@dataclass(frozen=True)
class Artifact:
    """One form of the model: where its files are, and how it was proven.

    Args:
        name: as in `tflite-float16`; format and variant are its parts.
        path: its directory in the bundle; empty when it was not made.
        paths: signature to the file (or directory) that answers it, relative to the bundle.
        files: every file to its sha256, relative to the bundle.
        sha256: one digest over `files`.
        fixed_batch: the one batch size that its files take; None for any.
        computes_in: the float dtype that it computes in where the model computes in a finer one.
        quantized: signature to those of its inputs and outputs that are integers in the file; runtimes of this
            toolkit take and give the signature's floats.
    """

    name: str
    format: str
    variant: str
    path: str
    paths: Mapping[str, str]
    size_bytes: int
    sha256: str
    files: Mapping[str, str]
    export_seconds: float
    parity: Parity
    quality: Quality | None = None
    notes: tuple[str, ...] = ()
    computes_in: str = ""
    fixed_batch: int | None = None
    quantized: Mapping[str, Mapping[str, Quantized]] = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """What the bundle was made from: the reference as typed, a digest of its files, and the kind of baseline."""

    reference: str
    sha256: str
    baseline: str = "eager"


@dataclass(frozen=True)
class Behaviour:
    """What eager itself does, which decides what may be asked of the artifacts.

    Args:
        random: outputs that eager does not repeat; they are left out of every comparison.
        stateful: whether a second call with the same feed answers otherwise.
        rows_independent: whether a row's answer does not depend on the other rows of its batch.
    """

    random: tuple[str, ...] = ()
    stateful: bool = False
    rows_independent: bool = True


@dataclass(frozen=True)
class Manifest:
    """The facts of a bundle; `to_bytes` and `from_bytes` are its file."""

    model: str
    version: int
    created: str
    toolchain: Mapping[str, str]
    source: Source
    signatures: Mapping[str, Signature]
    trace: Mapping[str, Any]
    artifacts: tuple[Artifact, ...]
    behaviour: Mapping[str, Behaviour] = field(default_factory=dict)
    tolerances: Mapping[str, Tolerance] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def artifact(self, name: str) -> Artifact | None:
        """The artifact of that name, made or not."""
        return next((artifact for artifact in self.artifacts if artifact.name == name), None)

    def tolerances_of(self, artifact: Artifact | None) -> Mapping[str, Tolerance]:
        """What stands in place of the dtypes' tolerances, by output: the model's own, else of what it computes in."""
        if artifact is None or not artifact.computes_in:
            return self.tolerances
        coarse = DEFAULT_TOLERANCES[artifact.computes_in]
        outputs = (item for signature in self.signatures.values() for item in signature.outputs.items())
        finer = {name: coarse for name, spec in outputs if spec.dtype in {"float64", "complex128"}}
        return {**finer, **self.tolerances}

    def to_json(self) -> dict[str, Any]:
        """The document of manifest.json, without its own digest."""
        return {
            "schema": SCHEMA,
            "model": self.model,
            "version": self.version,
            "created": self.created,
            "toolchain": dict(self.toolchain),
            "source": vars(self.source),
            "signatures": {name: signature_to_json(signature) for name, signature in self.signatures.items()},
            "trace": dict(self.trace),
            "artifacts": [_artifact_to_json(artifact) for artifact in self.artifacts],
            "behaviour": {name: _behaviour_to_json(found) for name, found in self.behaviour.items()},
            "tolerances": {name: {"atol": limit.atol, "rtol": limit.rtol} for name, limit in self.tolerances.items()},
            "files": dict(self.files),
            "notes": list(self.notes),
        }

    def to_bytes(self) -> bytes:
        """The file, holding the sha256 of itself with that value zeroed: a flipped byte anywhere shows."""
        text = json.dumps({"sha256": _NO_DIGEST} | self.to_json(), indent=1, allow_nan=False, ensure_ascii=False)
        blank = (text + "\n").encode()
        return blank.replace(_NO_DIGEST.encode(), hashlib.sha256(blank).hexdigest().encode(), 1)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Manifest":
        """The manifest of a document; KeyError, TypeError or ValueError where it is not one."""
        return cls(
            model=document["model"],
            version=document["version"],
            created=document["created"],
            toolchain=document["toolchain"],
            source=Source(**document["source"]),
            signatures={name: signature_from_json(entry) for name, entry in document["signatures"].items()},
            trace=document["trace"],
            artifacts=tuple(_artifact_from_json(entry) for entry in document["artifacts"]),
            behaviour={name: _behaviour_from_json(entry) for name, entry in document.get("behaviour", {}).items()},
            tolerances={name: Tolerance(**entry) for name, entry in document.get("tolerances", {}).items()},
            files=document.get("files", {}),
            notes=tuple(document.get("notes", ())),
        )


def read_manifest(bundle: Path) -> Manifest:
    """The manifest of a bundle directory, proven to be as it was written.

    Raises:
        ParityError: there is none, it is damaged, or its schema is of a later release.
    """
    path = bundle / MANIFEST
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ParityError(
            f"{bundle} is no bundle: {MANIFEST} cannot be read ({error.strerror})", hint="`tfx-export build` makes one"
        ) from error
    try:
        document = json.loads(content)
        schema, digest = document["schema"], document["sha256"]
        if schema != SCHEMA:
            raise ParityError(
                f"{path} has schema {schema!r}, this release reads {SCHEMA}",
                hint="read it with the release that wrote it",
            )
        if hashlib.sha256(content.replace(digest.encode(), _NO_DIGEST.encode(), 1)).hexdigest() != digest:
            raise ParityError(f"{path} was changed after it was written", hint="build the bundle again")
        return Manifest.from_json(document)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, CatalogError) as error:
        raise ParityError(f"{path} is damaged: {error!r:.80}", hint="build the bundle again") from error


def signature_to_json(signature: Signature) -> dict[str, Any]:
    """Method, inputs and outputs; a shape of null is an unknown rank."""
    return {
        "method": signature.method,
        "inputs": {name: _spec_to_json(spec) for name, spec in signature.inputs.items()},
        "outputs": {name: _spec_to_json(spec) for name, spec in signature.outputs.items()},
    }


def signature_from_json(entry: Mapping[str, Any]) -> Signature:
    """The signature that `signature_to_json` wrote."""
    return Signature(
        inputs={name: _spec_from_json(spec) for name, spec in entry["inputs"].items()},
        outputs={name: _spec_from_json(spec) for name, spec in entry["outputs"].items()},
        method=entry["method"],
    )


def _spec_to_json(spec: TensorSpec) -> dict[str, Any]:
    return {"dtype": spec.dtype, "shape": None if spec.shape is None else list(spec.shape)}


def _spec_from_json(entry: Mapping[str, Any]) -> TensorSpec:
    return TensorSpec(entry["dtype"], None if entry["shape"] is None else tuple(entry["shape"]))


def _behaviour_to_json(found: Behaviour) -> dict[str, Any]:
    return {"random": list(found.random), "stateful": found.stateful, "rows_independent": found.rows_independent}


def _behaviour_from_json(entry: Mapping[str, Any]) -> Behaviour:
    return Behaviour(tuple(entry["random"]), entry["stateful"], entry["rows_independent"])


def _artifact_to_json(artifact: Artifact) -> dict[str, Any]:
    document = dict(vars(artifact))
    document["paths"], document["files"] = dict(artifact.paths), dict(artifact.files)
    document["parity"] = parity_to_json(artifact.parity)
    document["quality"] = vars(artifact.quality) if artifact.quality else None
    document["notes"] = list(artifact.notes)
    document["quantized"] = quantized_to_json(artifact.quantized)
    return document


def _artifact_from_json(entry: Mapping[str, Any]) -> Artifact:
    changed = {
        "parity": parity_from_json(entry["parity"]),
        "quality": Quality(**entry["quality"]) if entry["quality"] else None,
        "notes": tuple(entry["notes"]),
        "quantized": quantized_from_json(entry.get("quantized", {})),
    }
    return Artifact(**{**entry, **changed})
