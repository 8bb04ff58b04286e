"""What runs where in a split artifact: parts that only TensorFlow can run, around a file of numbers."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from toolkit.core.artifact import signature_from_json, signature_to_json
from toolkit.core.model import DEFAULT_SIGNATURE
from toolkit.core.tensors import Signature, TensorSpec
from toolkit.errors import CatalogError, ParityError

SCHEMA = 1
# The SavedModel of the parts that TensorFlow runs, beside the files that it belongs to.
FOLDER = "tensorflow"
PREPROCESS, POSTPROCESS = "preprocess", "postprocess"


@dataclass(frozen=True)
class Part:
    """One part of a split signature; a name stands for the same tensor in all parts.

    Args:
        signature: what it is called in its file: the back as the whole, the others as `part_name` says.
        inputs: what it takes: inputs of the whole, and what the parts before it give.
        outputs: what it gives.
        ops: op type to the layer it first stands in, for the ops that the format lacks.
    """

    signature: str
    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]
    ops: Mapping[str, str] = field(default_factory=dict)

    def describe(self) -> str:
        """The ops by layer, and the signature that runs them."""
        layers: dict[str, list[str]] = {}
        for op, layer in self.ops.items():
            layers.setdefault("/".join(layer.split("/")[:2]), []).append(op)
        ops = "; ".join(f"{', '.join(found)} (layer {layer})" for layer, found in layers.items())
        return f"{ops} in '{self.signature}' of {FOLDER}/"


@dataclass(frozen=True)
class Split:
    """One signature of an artifact in up to three parts.

    Args:
        back: the numeric part, which is the artifact's file.
        front: what TensorFlow runs before it, if anything.
        tail: what TensorFlow runs after it, if anything.
        inputs: those of the whole; no tensor between the parts is called like one.
        outputs: those of the whole.
    """

    back: Part
    front: Part | None
    tail: Part | None
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def parts(self) -> list[Part]:
        """What runs, in order."""
        return [part for part in (self.front, self.back, self.tail) if part is not None]

    @property
    def cut(self) -> dict[str, TensorSpec]:
        """What the front gives to the back."""
        given = self.front.outputs if self.front else {}
        return {name: spec for name, spec in self.back.inputs.items() if name in given}

    def describe(self, whole: str) -> str:
        """A line for the manifest: who runs what, and where the file begins and ends."""
        told = []
        if self.front:
            told.append(f"{self.front.describe()} before the file, which takes {_listed(self.cut)}")
        if self.tail:
            told.append(f"{self.tail.describe()} after the file, from {_listed(self.tail.inputs)}")
        return f"'{whole}' is split: TensorFlow runs {', and '.join(told)}"


def _listed(specs: Mapping[str, TensorSpec]) -> str:
    return ", ".join(f"{name} {spec}" for name, spec in specs.items()) or "nothing of it"


def part_name(kind: str, signature: str) -> str:
    """`preprocess` for the default signature, `preprocess_NAME` for any other."""
    return kind if signature == DEFAULT_SIGNATURE else f"{kind}_{signature}"


def write_split(directory: Path, whole: str, split: Split) -> None:
    """Writes `<signature>.split.json` beside the signature's file."""
    document = {
        "schema": SCHEMA,
        "saved_model": FOLDER,
        "inputs": list(split.inputs),
        "outputs": list(split.outputs),
        PREPROCESS: _part_to_json(split.front),
        "back": _part_to_json(split.back),
        POSTPROCESS: _part_to_json(split.tail),
    }
    _beside(directory / whole).write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read_split(file: Path) -> Split | None:
    """How the artifact's file is split; None where it is whole.

    Raises:
        ParityError: the document beside it is damaged or of a later release.
    """
    path = _beside(file.with_suffix(""))
    if not path.is_file():
        return None
    try:
        document = json.loads(path.read_bytes())
        if document["schema"] != SCHEMA:
            raise ParityError(
                f"{path} has schema {document['schema']!r}, this release reads {SCHEMA}",
                hint="read it with the release that wrote it",
            )
        back = _part_from_json(document["back"])
        around = (document[PREPROCESS], document[POSTPROCESS])
        front, tail = (_part_from_json(entry) if entry else None for entry in around)
        return Split(back, front, tail, tuple(document["inputs"]), tuple(document["outputs"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, CatalogError) as error:
        raise ParityError(f"{path} is damaged: {error!r:.80}", hint="build the bundle again") from error


def _beside(stem: Path) -> Path:
    return stem.parent / f"{stem.name}.split.json"


def _part_to_json(part: Part | None) -> dict[str, Any] | None:
    if part is None:
        return None
    document = signature_to_json(Signature(part.inputs, part.outputs))
    sides = {side: document[side] for side in ("inputs", "outputs")}
    return {"signature": part.signature, **sides, "ops": dict(part.ops)}


def _part_from_json(entry: Mapping[str, Any]) -> Part:
    found = signature_from_json({"method": "predict", **entry})
    return Part(entry["signature"], found.inputs, found.outputs, dict(entry["ops"]))
