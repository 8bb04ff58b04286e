"""The verdict on an exported artifact: its answers, and where the model has an evaluation its accuracy."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from toolkit.building.blame import first_line, own_frame
from toolkit.building.isolate import Isolated
from toolkit.building.jobs import answer, close_runner, judge_artifact
from toolkit.core.artifact import Artifact, Manifest, Quality
from toolkit.core.model import DEFAULT_SIGNATURE, Predict, TracedModel
from toolkit.core.parity import Allowed, Parity
from toolkit.core.plugins import Opening
from toolkit.core.tensors import Feed, Outputs
from toolkit.errors import CatalogError, ExportError, ToolkitError
from toolkit.verifying.bundle import runtimes_for, unrun


class Limits(Protocol):
    """What a verdict needs to know of how to build."""

    @property
    def timeout_s(self) -> float:
        """Seconds that one verdict may take."""

    @property
    def allowed(self) -> Mapping[str, Allowed]:
        """Differences that a person let pass."""


class Judge:
    """Verdicts on the artifacts of one traced model."""

    def __init__(self, traced: TracedModel, stage: Path, child: Isolated, limits: Limits) -> None:
        self._traced, self._stage, self._child, self._limits = traced, stage, child, limits
        self._baseline: Mapping[str, float] | None = None

    def verdict(self, draft: Manifest, artifact: Artifact) -> Artifact:
        """The artifact with its parity, and its quality where that was asked and it passed."""
        if not artifact.paths:
            return artifact
        facts = replace(draft, artifacts=(artifact,))
        try:
            parity: Parity = self._child.run(
                judge_artifact,
                *(self._stage, facts, artifact.name, dict(self._limits.allowed)),
                timeout_s=self._limits.timeout_s,
            )
            judged = replace(artifact, parity=parity)
            return replace(judged, quality=self._quality(judged)) if parity.status == "pass" else judged
        except ExportError as error:  # what came out of the child: it died, or a runtime raised what nobody foresaw
            return replace(artifact, parity=unrun(draft, artifact.name, error))

    def _quality(self, artifact: Artifact) -> Quality | None:
        if self._traced.spec.evaluate is None or DEFAULT_SIGNATURE not in artifact.paths:
            return None
        if self._baseline is None:
            self._baseline = self._evaluate(self._traced.eager[DEFAULT_SIGNATURE])
        signature = self._traced.signatures[DEFAULT_SIGNATURE]
        opening = Opening(self._stage / artifact.paths[DEFAULT_SIGNATURE], DEFAULT_SIGNATURE, signature)
        # The author's evaluation runs here, where its code was loaded; the artifact runs in the child.
        runtime = runtimes_for(artifact)[-1].name

        def predict(feed: Feed) -> Outputs:
            outputs: Outputs = self._child.run(answer, runtime, opening, dict(feed), timeout_s=self._limits.timeout_s)
            return outputs

        candidate = self._evaluate(predict)
        self._child.run(close_runner, timeout_s=self._limits.timeout_s)
        metric = next(iter(self._baseline))
        return Quality(metric, self._baseline[metric], candidate[metric])

    def _evaluate(self, predict: Predict) -> Mapping[str, float]:
        evaluate = self._traced.spec.evaluate
        assert evaluate is not None
        try:
            found = evaluate(predict)
        except ToolkitError:
            raise
        except Exception as error:  # runs the author's code
            raise CatalogError(
                f"evaluate of '{self._traced.spec.name}' failed: {type(error).__name__}: {first_line(error)}",
                hint=f"see {own_frame(error)}",
            ) from error
        scores = found if isinstance(found, Mapping) else {"accuracy": found}
        return {name: float(score) for name, score in scores.items()}
