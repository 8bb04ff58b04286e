"""The verdict on an exported artifact: its answers, and where the model has an evaluation its accuracy."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from toolkit.building import lossy
from toolkit.building.evaluating import Calibration, Evaluation
from toolkit.building.isolate import Isolated
from toolkit.building.jobs import answer, close_runner, judge_artifact, noise, speed
from toolkit.core.artifact import Artifact, Manifest, Quality
from toolkit.core.batches import cut, joined
from toolkit.core.model import DEFAULT_SIGNATURE, TracedModel
from toolkit.core.parity import Allowed, Parity
from toolkit.core.plugins import FORMATS, Opening
from toolkit.core.tensors import Feed, Outputs
from toolkit.errors import ExportError
from toolkit.formats.precision.calibration import warnings
from toolkit.verifying.bundle import runtimes_for, unrun
from toolkit.verifying.parity import batch_size


class Limits(Protocol):
    """What a verdict needs to know of how to build."""

    @property
    def timeout_s(self) -> float:
        """Seconds that one verdict may take."""

    @property
    def allowed(self) -> Mapping[str, Allowed]:
        """Differences that a person let pass."""

    @property
    def max_accuracy_drop(self) -> float:
        """How far the metric of a quantized artifact may fall below eager's."""


class Judge:
    """Verdicts on the artifacts of one traced model."""

    def __init__(
        self, traced: TracedModel, stage: Path, child: Isolated, limits: Limits, calibration: Calibration
    ) -> None:
        self._calibration = calibration
        self._traced, self._stage, self._child, self._limits = traced, stage, child, limits
        self._baseline: Mapping[str, float] | None = None
        self._evaluation = Evaluation(traced.spec)

    def verdict(self, draft: Manifest, artifact: Artifact) -> Artifact:
        """The artifact with its parity, and its quality where that was asked and it passed."""
        if not artifact.paths:
            return artifact
        facts = replace(draft, artifacts=(artifact,))
        try:
            if artifact.variant:
                return self._lossy(draft, artifact)
            parity = self._parity(facts, artifact, self._limits.allowed)
            judged = replace(artifact, parity=parity)
            return replace(judged, quality=self._quality(judged)) if parity.status == "pass" else judged
        except ExportError as error:  # what came out of the child: it died, or a runtime raised what nobody foresaw
            return replace(artifact, parity=unrun(draft, artifact.name, error))

    def _parity(self, facts: Manifest, artifact: Artifact, allowed: Mapping[str, Allowed]) -> Parity:
        limit_s, asked = self._limits.timeout_s, (self._stage, facts, artifact.name, dict(allowed))
        parity: Parity = self._child.run(judge_artifact, *asked, timeout_s=limit_s)
        return parity

    def _lossy(self, draft: Manifest, artifact: Artifact) -> Artifact:
        """The verdict on a quantized artifact: by its task, else by its noise; what it came to is then held to."""
        facts = replace(draft, artifacts=(*draft.artifacts, artifact))
        outputs = sorted({name for signature in draft.signatures.values() for name in signature.outputs})
        parity = self._parity(facts, artifact, lossy.anything(outputs))
        if parity.status != "pass":
            return replace(artifact, parity=Parity(parity.status, parity.reason))
        quality = self._quality(artifact)
        calibrated = FORMATS.load(artifact.name).calibrated
        calibration = self._calibration.feeds if calibrated else ()
        shared = self._evaluation.shared_with(calibration)
        limit_s = self._limits.timeout_s
        decibels: Mapping[str, float] = self._child.run(noise, self._stage, facts, artifact.name, timeout_s=limit_s)
        wrong = lossy.problem(quality, decibels, self._limits.max_accuracy_drop)
        if shared:
            wrong = f"{shared} rows of its calibration are evaluated, too: the score says nothing"
        text = lossy.words(quality, decibels, parity)
        warned = tuple(warnings(calibration, self._evaluation.feeds)) if calibration else ()
        if wrong:
            reason = f"{draft.model} as {artifact.name}: {wrong}"
            notes = (*artifact.notes, text, *warned)  # a poor calibration is the first thing to look at
            return replace(artifact, parity=Parity("fail", reason), quality=quality, notes=notes)
        allowed = lossy.recorded(parity, text)
        parity = self._parity(facts, artifact, allowed)
        # Where nothing differs the figures are said nowhere else.
        notes = (*artifact.notes, *(() if allowed else (text,)), *self._beside_plain(facts, artifact), *warned)
        return replace(artifact, parity=parity, quality=quality, notes=notes)

    def _beside_plain(self, facts: Manifest, artifact: Artifact) -> tuple[str, ...]:
        """Its size and speed against the plain artifact of its format, where that was built before it."""
        plain = facts.artifact(artifact.format)
        if plain is None or plain.parity.status != "pass":
            return ()
        limit_s = self._limits.timeout_s
        names = (plain.name, artifact.name)
        factor: float = self._child.run(speed, self._stage, facts, *names, timeout_s=limit_s)
        added = FORMATS.load(artifact.name).added
        reasons = () if added is None else added(self._stage / next(iter(artifact.paths.values())))
        return lossy.size_note(artifact, plain), lossy.speed_note(factor, plain, reasons)

    def _quality(self, artifact: Artifact) -> Quality | None:
        if self._traced.spec.evaluate is None or DEFAULT_SIGNATURE not in artifact.paths:
            return None
        if self._baseline is None:
            self._baseline = self._evaluation.score(self._traced.eager[DEFAULT_SIGNATURE])
        signature = self._traced.signatures[DEFAULT_SIGNATURE]
        opening = Opening(self._stage / artifact.paths[DEFAULT_SIGNATURE], DEFAULT_SIGNATURE, signature)
        # The author's evaluation runs here, where its code was loaded; the artifact runs in the child.
        runtime = runtimes_for(artifact)[-1].name

        def ask(feed: Feed) -> Outputs:
            outputs: Outputs = self._child.run(answer, runtime, opening, dict(feed), timeout_s=self._limits.timeout_s)
            return outputs

        def predict(feed: Feed) -> Outputs:
            size, rows = artifact.fixed_batch, batch_size(signature, feed)
            if size is None or rows is None:
                return ask(feed)
            return joined([ask(part) for part in cut(signature, feed, size)], rows)

        candidate = self._evaluation.score(predict)
        self._child.run(close_runner, timeout_s=self._limits.timeout_s)
        metric = next(iter(self._baseline))
        return Quality(metric, self._baseline[metric], candidate[metric])
