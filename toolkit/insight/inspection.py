"""What was found in an artifact: plain facts, none of which comes from running it."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from toolkit.core.tensors import NUMPY_DTYPES, Signature, TensorSpec
from toolkit.graphs.census import layer_of

# Finding.kind -> what it means; the keys are what --fail-on takes.
KINDS: Mapping[str, str] = {
    "unsafe": "it can do something else than compute: files, Python, printing, the network, or nobody knows what",
    "path": "it names a place on a machine where it was made",
    "leftover": "it carries something that only training needs",
    "doubled": "the same bytes are in it more than once",
    "large": "a large constant, which every copy of the graph in memory holds again",
}
LARGE_BYTES = 1_000_000
# Below this, equal values are more likely a coincidence (zeros, small masks) than a copy.
DOUBLED_BYTES = 64 * 1024
_NAMED = 3


@dataclass(frozen=True, slots=True)
class Tensor:
    """What a file says of a tensor: TensorFlow's name of the dtype, or the file's own; None is an open dimension.

    A dimension that is text is open and has that name; a shape of None is an open rank.
    """

    dtype: str
    shape: tuple[int | str | None, ...] | None

    @property
    def dynamic(self) -> list[int]:
        """Positions of the open dimensions."""
        return [at for at, dim in enumerate(self.shape or ()) if not isinstance(dim, int)]

    def __str__(self) -> str:
        dims = "?" if self.shape is None else ", ".join("*" if dim is None else str(dim) for dim in self.shape)
        return f"{self.dtype}[{dims}]"


@dataclass(frozen=True)
class Call:
    """A signature as the file has it.

    Args:
        method: predict, classify or regress.
        inputs: name to Tensor.
        outputs: likewise.
        features: what the tf.Examples of a classify or regress signature hold.
    """

    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]
    method: str = "predict"
    features: Mapping[str, Tensor] = field(default_factory=dict)

    def as_signature(self) -> Signature | None:
        """The inputs as a runner would take them; None where a dtype fits no array."""
        if any(tensor.dtype not in NUMPY_DTYPES for tensor in self.inputs.values()):
            return None
        return Signature({name: _spec(tensor) for name, tensor in self.inputs.items()}, {}, self.method)


def _spec(tensor: Tensor) -> TensorSpec:
    dims = None if tensor.shape is None else tuple(dim if isinstance(dim, int) else None for dim in tensor.shape)
    return TensorSpec(tensor.dtype, dims)


@dataclass(frozen=True, slots=True)
class Weight:
    """Values that are stored: a variable, an initializer or a constant.

    Args:
        name: as the file calls it.
        tensor: dtype and shape.
        size_bytes: of the values, counted and not as declared.
        digest: of the values, with the kind of digest in front; empty where none was taken.
    """

    name: str
    tensor: Tensor
    size_bytes: int
    digest: str = ""

    @property
    def layer(self) -> str:
        """`mlp/hidden_1/kernel` is of layer `mlp/hidden_1`."""
        return layer_of(self.name)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something a person should know before this artifact is shipped or loaded.

    Args:
        kind: one of KINDS.
        what: what it is, in words.
        place: where in the artifact.
        source: who found it.
    """

    kind: str
    what: str
    place: str
    source: str = "tfx-export"

    def __str__(self) -> str:
        return f"{self.what} ({self.place})" if self.place else self.what


def doubled(groups: Iterable[Sequence[Weight]]) -> Iterator[Finding]:
    """What is there more than once, by groups of weights with the same values; the largest are named."""
    many = sorted((same for same in groups if len(same) > 1), key=_extra_bytes, reverse=True)
    for same in many[:_NAMED]:
        names = list(dict.fromkeys(weight.name for weight in same))
        what = f"{len(same)} times the same values of {same[0].tensor}, {_extra_bytes(same):,} bytes extra"
        yield Finding("doubled", what, ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else ""))
    if rest := many[_NAMED:]:
        extra = sum(map(_extra_bytes, rest))
        yield Finding("doubled", f"{len(rest)} more whose values are there several times, {extra:,} bytes extra", "")


def _extra_bytes(same: Sequence[Weight]) -> int:
    return (len(same) - 1) * same[0].size_bytes


def about_constants(constants: Sequence[Weight]) -> Iterator[Finding]:
    """What is large, and what is there more than once."""
    alike: dict[str, list[Weight]] = {}
    for constant in constants:
        if constant.size_bytes >= LARGE_BYTES:
            yield Finding("large", f"a constant of {constant.size_bytes:,} bytes, {constant.tensor}", constant.name)
        if constant.size_bytes >= DOUBLED_BYTES and constant.digest:
            alike.setdefault(constant.digest, []).append(constant)
    yield from doubled(alike.values())


@dataclass(frozen=True)
class Inspection:
    """The facts of one artifact, or of a bundle with its artifacts as `parts`.

    Args:
        path: where it is.
        format: the name of the reader that knew it.
        size_bytes: of its files.
        versions: what made it, and what its format says of itself.
        model: what a server would call it.
        signatures: name to Call; an ONNX file has one, without a name of its own.
        ops: op or layer type to how often, nested bodies included.
        weights: variables, or what else is trained.
        constants: constants of the graph itself.
        assets: file to size in bytes.
        tables: lookup tables, in words.
        findings: what a person should know.
        parts: the artifacts of a bundle by name.
        notes: what else there is to say.
    """

    path: str
    format: str
    size_bytes: int
    versions: Mapping[str, str] = field(default_factory=dict)
    model: str = "model"
    signatures: Mapping[str, Call] = field(default_factory=dict)
    ops: Mapping[str, int] = field(default_factory=dict)
    weights: tuple[Weight, ...] = ()
    constants: tuple[Weight, ...] = ()
    assets: Mapping[str, int] = field(default_factory=dict)
    tables: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    parts: Mapping[str, "Inspection"] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def all_findings(self) -> list[tuple[str, Finding]]:
        """(part or '', finding) of it and its parts."""
        found = [("", finding) for finding in self.findings]
        return found + [(name, finding) for name, part in self.parts.items() for finding in part.findings]

    @property
    def layers(self) -> dict[str, int]:
        """Layer to bytes of its weights, the largest first."""
        sizes: Counter[str] = Counter()
        for weight in self.weights:
            sizes[weight.layer] += weight.size_bytes
        return dict(sizes.most_common())

    @property
    def dtypes(self) -> dict[str, int]:
        """Dtype to bytes of weights and constants."""
        sizes: Counter[str] = Counter()
        for weight in (*self.weights, *self.constants):
            sizes[weight.tensor.dtype] += weight.size_bytes
        return dict(sizes.most_common())

    @property
    def weight_bytes(self) -> int:
        """Bytes of all weights."""
        return sum(weight.size_bytes for weight in self.weights)

    def to_json(self) -> dict[str, Any]:
        """Everything, and the sums that a reader would make."""
        from toolkit.insight.calls import ready_calls  # late: it is written in terms of this module

        return {
            "path": self.path,
            "format": self.format,
            "model": self.model,
            "size_bytes": self.size_bytes,
            "versions": dict(self.versions),
            "signatures": {name: _call_to_json(call) for name, call in self.signatures.items()},
            "calls": {name: vars(ready) for name, ready in ready_calls(self).items()},
            "ops": dict(self.ops),
            "weights": [_weight_to_json(weight) for weight in self.weights],
            "layers": self.layers,
            "constants": [_weight_to_json(weight) for weight in self.constants],
            "dtypes": self.dtypes,
            "assets": dict(self.assets),
            "tables": list(self.tables),
            "findings": [
                {"kind": found.kind, "what": found.what, "place": found.place, "source": found.source}
                for found in self.findings
            ],
            "parts": {name: part.to_json() for name, part in self.parts.items()},
            "notes": list(self.notes),
        }


def _call_to_json(call: Call) -> dict[str, Any]:
    return {
        "method": call.method,
        "inputs": {name: tensor_to_json(tensor) for name, tensor in call.inputs.items()},
        "outputs": {name: tensor_to_json(tensor) for name, tensor in call.outputs.items()},
        "features": {name: tensor_to_json(tensor) for name, tensor in call.features.items()},
    }


def _weight_to_json(weight: Weight) -> dict[str, Any]:
    return {
        "name": weight.name,
        "layer": weight.layer,
        **tensor_to_json(weight.tensor),
        "size_bytes": weight.size_bytes,
        "digest": weight.digest,
    }


def tensor_to_json(tensor: Tensor) -> dict[str, Any]:
    """dtype, shape and the positions of open dimensions."""
    shape = None if tensor.shape is None else list(tensor.shape)
    return {"dtype": tensor.dtype, "shape": shape, "dynamic": tensor.dynamic}
