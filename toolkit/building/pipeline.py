"""From a catalogue entry to a published bundle: build, trace, ask eager, export, judge, publish."""

import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from toolkit.building.baseline import Baseline, record_baseline
from toolkit.building.catalog import Entry
from toolkit.building.exports import Exporter
from toolkit.building.isolate import Isolated
from toolkit.building.load import build_model
from toolkit.building.lossy import MAX_ACCURACY_DROP
from toolkit.building.machine import toolchain
from toolkit.building.precision import coarse_tolerances
from toolkit.building.quality import Judge
from toolkit.building.trace import trace_model
from toolkit.core.artifact import GOLDEN, MANIFEST, Artifact, Manifest, Source
from toolkit.core.exporting import DEFAULTS, ExportSettings
from toolkit.core.golden import write_golden
from toolkit.core.model import ModelSpec, TracedModel
from toolkit.core.parity import Allowed
from toolkit.core.plugins import FORMATS
from toolkit.core.store import hash_file, publish, publish_at, staging, staging_for
from toolkit.core.tensors import FLOATS, dtype_name
from toolkit.errors import ExitCode, ExportError, ParityError, ToolkitError, UsageError, nearest

Progress = Callable[[str], None]
# How often a build reports progress, so that a bar knows its end.
STEPS, STEPS_A_FORMAT = 3, 2


@dataclass(frozen=True)
class Options:
    """How to build.

    Args:
        formats: artifact names; empty is every format that keeps the model's precision.
        out: the bundle's directory; None is the next version below `exported`.
        timeout_s: the limit of one conversion and of one verdict.
        allowed: output to a difference that a person let pass.
        keep_going: publish what passed even if something failed.
        unsafe_lambda: load Keras files with Lambda layers, which run Python.
        settings: what is asked of formats beyond their defaults.
        max_accuracy_drop: how far the metric of a quantized artifact may fall below eager's.
    """

    exported: Path
    formats: tuple[str, ...] = ()
    out: Path | None = None
    timeout_s: float = 600.0
    allowed: Mapping[str, Allowed] = field(default_factory=dict)
    keep_going: bool = False
    unsafe_lambda: bool = False
    settings: ExportSettings = DEFAULTS
    max_accuracy_drop: float = MAX_ACCURACY_DROP

    def __post_init__(self) -> None:
        for name, word in self.allowed.items():
            if not 0 <= word.value < math.inf:
                raise UsageError(
                    f"a difference of {word.value:g} in '{name}' cannot be allowed",
                    hint="give the largest one that is known and harmless, as in --allow-diff logits=0.01",
                )


@dataclass(frozen=True)
class Outcome:
    """What became of one model: its facts, where the bundle is, and what is wrong if anything is."""

    manifest: Manifest
    bundle: Path | None
    error: ToolkitError | None = None

    @property
    def exit_code(self) -> ExitCode:
        """The code that this model alone would end with."""
        return self.error.exit_code if self.error else ExitCode.DONE


def build_bundle(entry: Entry, options: Options, child: Isolated, progress: Progress) -> Outcome:
    """Build one model.

    Raises:
        ToolkitError: the model does not build or trace, or its bundle cannot be written; nothing was published.
    """
    names = chosen_formats(options.formats)
    stage_for = staging_for(options.out) if options.out else staging(options.exported / entry.spec.name)
    with stage_for as stage:
        progress("building the model")
        built = build_model(entry.spec, unsafe_lambda=options.unsafe_lambda)
        progress("tracing")
        traced = replace(trace_model(_with_batch(entry.spec, options.settings), built), settings=options.settings)
        _refuse_strange_outputs(traced, options.allowed)
        exporter = Exporter(traced, stage, child, options.timeout_s)
        # The graph is saved before eager runs: a stateful model must be saved as it was built.
        exporter.save()
        progress("asking the eager model")
        baseline = record_baseline(traced)
        write_golden(stage / GOLDEN, baseline.cases)
        draft = _draft(entry, traced, baseline, stage)
        judge = Judge(traced, stage, child, options, exporter.calibration)
        for name in names:
            progress(f"exporting {name}")
            artifact = exporter.export(name)
            progress(f"running {name}")
            draft = replace(draft, artifacts=(*draft.artifacts, judge.verdict(draft, artifact)))
        exporter.close(names)
        return _publish(draft, stage, options)


def check_settings(names: Sequence[str], settings: ExportSettings) -> None:
    """UsageError for a setting that none of these formats heeds, or that one of them cannot."""
    plugins = [FORMATS.load(name) for name in names]
    for setting in settings.chosen:
        flag = f"--{setting.replace('_', '-')}"
        if not any(setting in plugin.reads for plugin in plugins):
            heeding = [plugin.name for plugin in FORMATS.load_all() if setting in plugin.reads]
            raise UsageError(f"{flag} is nothing to {', '.join(names)}", hint=f"it is for {', '.join(heeding)}")
    for plugin in plugins:
        plugin.check(settings)


def _with_batch(spec: ModelSpec, settings: ExportSettings) -> ModelSpec:
    """The spec with golden cases of the one size that some file will take."""
    sizes = () if settings.fixed_batch is None else (settings.fixed_batch,)
    return replace(spec, batch_sizes=(*spec.batch_sizes, *sizes))


def _refuse_strange_outputs(traced: TracedModel, allowed: Mapping[str, Allowed]) -> None:
    known = sorted({name for signature in traced.signatures.values() for name in signature.outputs})
    strange = next((name for name in allowed if name not in known), None)
    if strange is not None:
        raise UsageError(
            f"'{traced.spec.name}' has no output '{strange}' to allow a difference of", hint=nearest(strange, known)
        )


def chosen_formats(wanted: Sequence[str]) -> list[str]:
    """The formats in the order of the table, the lossy ones only where they are named.

    Raises:
        UsageError: there is no such format.
    """
    known = FORMATS.names()
    picked = [FORMATS.load(name).name for name in (wanted or known)]
    if not wanted:
        picked = [name for name in picked if not FORMATS.load(name).variant]
    # A format that needs no child comes first: the others are made from the same graph.
    return sorted(dict.fromkeys(picked), key=lambda name: (FORMATS.load(name).isolated, picked.index(name)))


def _draft(entry: Entry, traced: TracedModel, baseline: Baseline, stage: Path) -> Manifest:
    facts = traced.facts
    notes = list(facts.side_effects)
    for name, found in baseline.behaviour.items():
        notes += [
            f"output '{key}' of '{name}' is random: eager does not repeat it, it is left out" for key in found.random
        ]
        notes += [f"'{name}' is stateful: a second call answers otherwise"] if found.stateful else []
    notes += _not_numbers(baseline)
    return Manifest(
        model=entry.spec.name,
        version=0,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        toolchain=toolchain(),
        source=Source(entry.reference, entry.sha256, traced.baseline),
        signatures=traced.signatures,
        trace={
            "count": facts.count,
            "seconds": round(facts.seconds, 4),
            "ops": facts.ops,
            "side_effects": list(facts.side_effects),
        },
        artifacts=(),
        behaviour=baseline.behaviour,
        tolerances={**coarse_tolerances(traced), **traced.spec.tolerances},
        files={GOLDEN: hash_file(stage / GOLDEN)},
        notes=tuple(notes),
    )


def _not_numbers(baseline: Baseline) -> list[str]:
    """NaN and infinities that eager gives too: artifacts must give them likewise, and somebody should know."""
    found: dict[tuple[str, str], int] = {}
    for case in baseline.cases:
        for name, array in case.outputs.items():
            if dtype_name(array.dtype) in FLOATS:
                found[case.signature, name] = found.get((case.signature, name), 0) + int((~np.isfinite(array)).sum())
    return [
        f"output '{name}' of '{signature}' holds {count} NaN or infinite values for the samples, in eager already"
        for (signature, name), count in found.items()
        if count
    ]


def _publish(draft: Manifest, stage: Path, options: Options) -> Outcome:
    error = _failure(draft.artifacts)
    wrong = isinstance(error, ParityError)
    made = [artifact for artifact in draft.artifacts if artifact.parity.status == "pass"]
    if not made or (wrong and not options.keep_going):
        return Outcome(draft, None, error)
    final = draft

    def finish(version: int) -> None:
        nonlocal final
        final = replace(draft, version=version)
        (stage / MANIFEST).write_bytes(final.to_bytes())

    _drop_failed(draft.artifacts, stage)
    draft = replace(draft, artifacts=tuple(map(_without_files, draft.artifacts)))
    target = options.exported / draft.model
    bundle = publish_at(stage, options.out, finish) if options.out else publish(stage, target, finish)
    return Outcome(final, bundle, error)


def _failure(artifacts: Sequence[Artifact]) -> ToolkitError | None:
    failed = [artifact for artifact in artifacts if artifact.parity.status == "fail"]
    wrong = [artifact for artifact in failed if artifact.files]
    if wrong:
        return ParityError(
            "; ".join(artifact.parity.reason for artifact in wrong),
            hint="mend the model or the export; --allow-diff OUTPUT=VALUE --reason TEXT lets a known difference pass",
        )
    if failed:
        return ExportError(
            "; ".join(f"{artifact.name}: {artifact.parity.reason}" for artifact in failed), hint="-v shows more"
        )
    if not any(artifact.parity.status == "pass" for artifact in artifacts):
        reasons = "; ".join(f"{artifact.name}: {artifact.parity.reason}" for artifact in artifacts)
        return ExportError(f"nothing could be made: {reasons}", hint="choose another format with --formats")
    return None


def _drop_failed(artifacts: Sequence[Artifact], stage: Path) -> None:
    for artifact in artifacts:
        if artifact.parity.status != "pass" and not _unproven(artifact) and (stage / artifact.name).exists():
            shutil.rmtree(stage / artifact.name)


def _unproven(artifact: Artifact) -> bool:
    """Whether its files are kept though no runtime here opens them."""
    return bool(artifact.files) and not artifact.paths


def _without_files(artifact: Artifact) -> Artifact:
    """A failed artifact's entry stays, with its reason and checks; its files are not published."""
    if artifact.parity.status == "pass" or _unproven(artifact):
        return artifact
    return replace(artifact, path="", paths={}, files={}, sha256="", size_bytes=0)
