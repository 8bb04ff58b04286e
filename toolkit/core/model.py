"""What a user declares of a model, and what tracing made of it."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from toolkit.core.exporting import DEFAULTS, ExportSettings
from toolkit.core.parity import Tolerance
from toolkit.core.tensors import Array, Feed, Outputs, Signature
from toolkit.errors import CatalogError

DEFAULT_SIGNATURE = "serving_default"
Samples = Callable[[int, int], Mapping[str, Any]]
Predict = Callable[[Feed], Outputs]
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class ModelSpec:
    """A model as its author declares it: how to build it, how it is called, and what proves it right.

    Args:
        name: its name in commands, folders and TensorFlow Serving.
        build: () -> keras.Model, tf.Module or callable; or the path of a .keras file or a SavedModel directory.
        inputs: name to TensorSpec of the one signature `serving_default`; not needed where the built model says it.
        signatures: name to Signature, for several; excludes `inputs`.
        samples: (batch size, seed) -> feed of real data; or one such per signature name.
        calibration: () -> feeds for quantization, disjoint from those of `evaluate`.
        evaluate: predict -> accuracy (or {metric: value}) on held-out data, where predict is feed -> outputs.
        tolerances: output name -> Tolerance, in place of the one of its dtype.
        batch_sizes: further batch sizes to prove, beside 1, 7 and 32.
        files: what else defines it (weights, data); a change there makes an exported bundle out of date.
        description: one line for `tfx-export models`.
    """

    name: str
    build: Callable[[], Any] | str | Path
    inputs: Mapping[str, Any] | None = None
    signatures: Mapping[str, Signature] | None = None
    samples: Samples | Mapping[str, Samples] | None = None
    calibration: Callable[[], Iterable[Feed]] | None = None
    evaluate: Callable[[Predict], float | Mapping[str, float]] | None = None
    tolerances: Mapping[str, Tolerance] = field(default_factory=dict)
    batch_sizes: tuple[int, ...] = ()
    files: tuple[str | Path, ...] = ()
    description: str = ""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise CatalogError(
                f"'{self.name}' cannot name a model", hint="use letters, digits, '_', '-' and '.', as in 'my_model'"
            )
        if self.inputs is not None and self.signatures is not None:
            raise CatalogError(
                f"model '{self.name}' declares inputs and signatures", hint="put the inputs into the signatures"
            )
        for name in self.signatures or {}:
            if not name or "/" in name:
                raise CatalogError(f"'{name}' cannot name a signature", hint="use a plain word, as in 'classify'")

    def sampler(self, signature: str) -> Samples | None:
        """The author's samples for one signature, if any were given."""
        if isinstance(self.samples, Mapping):
            return self.samples.get(signature)
        return self.samples


@dataclass(frozen=True)
class TraceFacts:
    """How tracing went: traces and ops over all signatures, and Python effects that will not run again."""

    count: int
    seconds: float
    ops: int
    side_effects: tuple[str, ...] = ()


@dataclass(frozen=True)
class TracedModel:
    """A model as concrete functions with flat named inputs and outputs.

    Args:
        spec: what it was made from.
        signatures: name to complete Signature, outputs included.
        functions: name to tf ConcreteFunction.
        owner: keeps variables and tables alive.
        eager: name to feed -> outputs of the untraced model, the baseline of every comparison.
        facts: how tracing went.
        samples: name to (batch size, seed) -> feed of the flat inputs in their dtypes.
        callables: name to the tf.function that the concrete function is one trace of.
        baseline: `restored` where the source is a SavedModel, whose signatures stand in for the lost eager form.
        saved: a SavedModel of these very signatures, where one is written already.
        settings: what was asked of the format that it is being written as.
        calibration: feeds of `serving_default`, for a format that reads ranges from them.
        cut: name to inputs and outputs that the author's signature does not have, since the model was split there:
            their first dimensions need not count the rows of a batch.
    """

    spec: ModelSpec
    signatures: Mapping[str, Signature]
    functions: Mapping[str, Any]
    owner: Any
    eager: Mapping[str, Predict]
    facts: TraceFacts
    samples: Mapping[str, Callable[[int, int], dict[str, Array]]]
    callables: Mapping[str, Any] = field(default_factory=dict)
    baseline: str = "eager"
    saved: Path | None = None
    settings: ExportSettings = DEFAULTS
    calibration: Sequence[Feed] = ()
    cut: Mapping[str, frozenset[str]] = field(default_factory=dict)
