"""What the integers at the edges of a quantized file stand for, and its JSON."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Quantized:
    """How a tensor of a file stands for floats: value = scale (integer - zero_point)."""

    dtype: str
    scale: float
    zero_point: int


class QuantizedEdges(str):
    """A note of an export: a signature's file takes and gives integers where the signature has floats.

    Args:
        signature: which one.
        tensors: input or output to how its integers are meant.
    """

    signature: str
    tensors: Mapping[str, Quantized]

    def __new__(cls, signature: str, tensors: Mapping[str, Quantized]) -> "QuantizedEdges":
        """The note, which says all of it in words too."""
        said = (f"{name} = {found.scale:.6g} ({found.dtype} {-found.zero_point:+d})" for name, found in tensors.items())
        note = super().__new__(cls, f"the file of '{signature}' takes and gives whole numbers: {', '.join(said)}")
        note.signature, note.tensors = signature, tensors
        return note

    def __getnewargs__(self) -> tuple[str, Mapping[str, Quantized]]:  # type: ignore[override]  # str has one argument
        """What it is made of again after it travelled between processes."""
        return self.signature, self.tensors


def quantized_to_json(found: Mapping[str, Mapping[str, Quantized]]) -> dict[str, Any]:
    """Signature to tensor to `dtype`, `scale` and `zero_point`."""
    return {key: {name: vars(meant) for name, meant in tensors.items()} for key, tensors in found.items()}


def quantized_from_json(entry: Mapping[str, Any]) -> dict[str, dict[str, Quantized]]:
    """What `quantized_to_json` wrote."""
    return {key: {name: Quantized(**meant) for name, meant in tensors.items()} for key, tensors in entry.items()}
