"""Exports a function of one tensor and runs the file: what tests of single rewrites need."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from toolkit import ModelSpec, TensorSpec
from toolkit.building.load import build_model
from toolkit.building.trace import trace_model
from toolkit.core.model import TracedModel
from toolkit.core.plugins import FORMATS, RUNTIMES, Opening
from toolkit.core.tensors import Array, Feed, Outputs
from toolkit.formats.rewrites.rewrite import Rewrite, rewrites_for

NAME = "serving_default"
BATCH_SIZES = (1, 5)


@dataclass(frozen=True)
class Case:
    """A function with the ops that one rewrite replaces.

    Args:
        rewrite: its file's name.
        function: the tensor `x` -> outputs by name.
        shape: of a row of `x`.
        tolerance: relative to 1 + |expected|.
        needed: the formats that cannot hold the function without the rewrite, or hold it wrong.
        spec: of the input where it is no batch of float32.
    """

    rewrite: str
    function: Callable[[Any], Mapping[str, Any]]
    shape: tuple[int | None, ...] = (4,)
    tolerance: float = 3e-6
    needed: tuple[str, ...] = ("tflite", "onnx")
    spec: Any = None
    samples: Any = None

    def traced(self) -> TracedModel:
        """The function, traced."""
        spec = self.spec or TensorSpec("float32", (None, *self.shape))
        model = ModelSpec("op", lambda: self.function, {"x": spec}, samples=self.samples)
        return trace_model(model, build_model(model))


def only(rewrite: str | None, kind: str) -> tuple[Rewrite, ...]:
    """The rewrites of a kind without the one of that name."""
    return tuple(one for one in rewrites_for(kind) if one.name != rewrite)


def answers(traced: TracedModel, kind: str, directory: Path) -> tuple[Sequence[str], list[tuple[Outputs, Outputs]]]:
    """The notes of an export, and (expected, actual) for each batch size."""
    notes = FORMATS.load(kind).export(traced, directory) or ()
    opening = Opening(directory / f"{NAME}.{kind}", NAME, traced.signatures[NAME])
    pairs = []
    with RUNTIMES.load(kind).open(opening) as runner:
        for size in BATCH_SIZES:
            feed: Feed = traced.samples[NAME](size, size)
            pairs.append((traced.eager[NAME](feed), runner.run(feed)))
    return notes, pairs


def differences(pairs: list[tuple[Outputs, Outputs]], tolerance: float) -> list[str]:
    """Every output that is not what eager says, in words."""
    found = []
    for expected, actual in pairs:
        for name, want in expected.items():
            have = np.asarray(actual[name])
            if have.shape != want.shape or have.dtype != want.dtype:
                found.append(f"{name} is {have.dtype}{list(have.shape)}, not {want.dtype}{list(want.shape)}")
                continue
            gap = _gap(want.astype(np.float64), have.astype(np.float64))
            if gap.size and gap.max() > tolerance:
                found.append(f"{name} is off by {gap.max():.1e}")
    return found


def _gap(want: Array, have: Array) -> Array:
    same = (want == have) | (np.isnan(want) & np.isnan(have))
    with np.errstate(invalid="ignore"):
        gap = np.where(same, 0.0, np.abs(have - want) / (1.0 + np.abs(want)))
    return np.nan_to_num(gap, nan=np.inf)
