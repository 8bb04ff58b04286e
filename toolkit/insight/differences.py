"""Puts two artifacts side by side: what of signatures, ops and weights differs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from toolkit.insight.inspection import Call, Inspection, Tensor, Weight

# What differs is one of these three.
SIGNATURE, OP, WEIGHT = "signature", "op", "weight"
_ABSENT = "-"


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not the same in both.

    Args:
        kind: signature, op or weight.
        name: what differs.
        first: how the first artifact has it; '-' where it lacks it.
        second: likewise the second.
        part: the artifact in a bundle.
    """

    kind: str
    name: str
    first: str
    second: str
    part: str = ""


@dataclass(frozen=True)
class Differences:
    """Two inspections and all in which they differ."""

    first: Inspection
    second: Inspection
    found: tuple[Difference, ...]
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Both, and the differences."""
        return {
            "first": self.first.to_json(),
            "second": self.second.to_json(),
            "differences": [
                {"kind": one.kind, "part": one.part, "name": one.name, "first": one.first, "second": one.second}
                for one in self.found
            ],
            "notes": list(self.notes),
        }


def differences(first: Inspection, second: Inspection) -> Differences:
    """What differs; of two bundles artifact by artifact, by their names."""
    notes: list[str] = []
    found = [*_signatures(first, second), *_of(first, second, "", notes)]
    for name in dict.fromkeys((*first.parts, *second.parts)):
        one, other = first.parts.get(name), second.parts.get(name)
        if one is None or other is None:
            notes.append(f"{name} is only in the {'second' if one is None else 'first'}")
        else:
            found += _of(one, other, name, notes)
    return Differences(first, second, tuple(found), tuple(notes))


def _signatures(first: Inspection, second: Inspection) -> Iterator[Difference]:
    for name, one, other in _pairs(first.signatures, second.signatures):
        if one is None or other is None or one.method != other.method:
            yield Difference(SIGNATURE, name, _method(one), _method(other))
        for way in ("inputs", "outputs", "features"):
            tensors = (getattr(one, way) if one else {}, getattr(other, way) if other else {})
            for key, left, right in _pairs(*tensors):
                if left != right:
                    yield Difference(SIGNATURE, f"{name} {way.rstrip('s')} {key}", _text(left), _text(right))


def _of(first: Inspection, second: Inspection, part: str, notes: list[str]) -> list[Difference]:
    found = [
        Difference(OP, op, str(one or 0), str(other or 0), part)
        for op, one, other in _pairs(first.ops, second.ops)
        if one != other
    ]
    stored = (_by_name((*side.weights, *side.constants)) for side in (first, second))
    unknown = 0
    for name, left, right in _pairs(*stored):
        if left is None or right is None or left.tensor != right.tensor:
            found.append(Difference(WEIGHT, name, _stored(left), _stored(right), part))
        elif _kind(left) != _kind(right) or not left.digest:
            unknown += 1
        elif left.digest != right.digest:
            found.append(
                Difference(WEIGHT, name, f"{left.tensor} {left.digest}", f"{right.tensor} {right.digest}", part)
            )
    if unknown:
        notes.append(f"{part}: the values of {unknown} weights were not compared".lstrip(": "))
    return found


def _pairs(first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for name in dict.fromkeys((*first, *second)):
        yield name, first.get(name), second.get(name)


def _by_name(weights: tuple[Weight, ...]) -> dict[str, Weight]:
    """Names may repeat, as where a variable was saved twice: the second gets a number."""
    named: dict[str, Weight] = {}
    counts: dict[str, int] = {}
    for weight in weights:
        counts[weight.name] = counts.get(weight.name, 0) + 1
        named[weight.name if counts[weight.name] == 1 else f"{weight.name} #{counts[weight.name]}"] = weight
    return named


def _kind(weight: Weight) -> str:
    return weight.digest.partition(":")[0]


def _method(call: Call | None) -> str:
    return call.method if call else _ABSENT


def _text(tensor: Tensor | None) -> str:
    return str(tensor) if tensor else _ABSENT


def _stored(weight: Weight | None) -> str:
    return f"{weight.tensor}, {weight.size_bytes:,} bytes" if weight else _ABSENT
