"""`tfx-export trace`: a model reference in, what tracing and Grappler make of it out."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from toolkit.building.blame import own_frame
from toolkit.building.calling import Call, calls_of
from toolkit.building.catalog import resolve, resolve_object
from toolkit.building.load import build_model
from toolkit.building.samples import sampler_of
from toolkit.building.trace import trace_model
from toolkit.core.model import ModelSpec, TracedModel
from toolkit.core.store import find_root
from toolkit.errors import DeployError, ToolkitError, TraceError, UnsupportedError, UsageError, nearest
from toolkit.formats.rewrites.frozen import Frozen, freeze
from toolkit.formats.saved_model import write
from toolkit.graphs.control_flow import watched_control_flow
from toolkit.graphs.grappler import optimize
from toolkit.insight.tracing import picture, running, tensorboard
from toolkit.insight.tracing.calls import Subject, watch
from toolkit.insight.tracing.report import SignatureTrace, TraceReport
from toolkit.insight.tracing.retracing import Recorder


@dataclass(frozen=True)
class TraceRequest:
    """What to look at; the fields are the options of `tfx-export trace`.

    Args:
        model: a reference, a ModelSpec, or a factory of a Keras model.
        calls: a script whose `calls(function)` calls the model's function; None calls it with its samples.
        signature: the one to look at; None is all, or with `calls` the only one.
        passes: measure what each pass of Grappler is worth.
        tensorboard: a folder for TensorBoard.
        picture: a file for the page.
    """

    model: Any
    calls: Path | None = None
    signature: str | None = None
    passes: bool = False
    tensorboard: Path | None = None
    picture: Path | None = None
    imports: Sequence[str] = ()
    unsafe_lambda: bool = False
    root: str | Path | None = None


def trace(request: TraceRequest) -> TraceReport:
    """Builds the model in this process, traces it and looks at it.

    Raises:
        ToolkitError: the model cannot be found, built, called or traced.
    """
    root = Path(request.root) if request.root else find_root(Path.cwd())
    by_name = isinstance(request.model, str | Path)
    entry = resolve(str(request.model), root, request.imports) if by_name else resolve_object(request.model)
    built = build_model(entry.spec, unsafe_lambda=request.unsafe_lambda)
    with watched_control_flow() as turned, _unturned_said():
        # Before anything else has called the model: what is traced by then is traced for good.
        watched = {} if built.restored else _watched(request, entry.spec, calls_of(entry.spec, built.model))
        traced = trace_model(entry.spec, built)
    chosen = list(watched) or _chosen(request, entry.spec, list(traced.functions))
    found = [_signature(request, traced, name, watched.get(name)) for name in chosen]
    written = list(_write(request, traced, found))
    return TraceReport(entry.spec.name, found, traced.facts.side_effects, turned.statements, written)


def too_many(report: TraceReport, allowed: int | None) -> ToolkitError | None:
    """The error of a report with more traces than allowed."""
    if allowed is None or report.count <= allowed:
        return None
    worst = next((trace for at in report.signatures for trace in at.traces if trace.advice), None)
    hint = worst.advice if worst else "the calls make each of them"
    return DeployError(f"{report.count} traces, {allowed} allowed", hint=hint)


@contextmanager
def _unturned_said() -> Iterator[None]:
    """Says where Python asked for the value of a tensor, wherever that came out."""
    import tensorflow as tf

    try:
        yield
    except ToolkitError as error:
        cause = error.__cause__
        if not isinstance(cause, tf.errors.OperatorNotAllowedInGraphError):
            raise
        raise TraceError(
            f"Python control flow on a tensor at {own_frame(cause)} could not be turned into graph ops: AutoGraph does "
            "not convert that function",
            hint="write tf.cond, tf.where or tf.while_loop there; Keras' own methods are never converted",
        ) from error


def _watched(request: TraceRequest, spec: ModelSpec, calls: Mapping[str, Call]) -> dict[str, Recorder]:
    chosen = _chosen(request, spec, list(calls))
    subjects = {name: Subject(spec.name, calls[name], sampler_of(spec, name, calls[name])) for name in chosen}
    return {name: watch(subject, request.calls) for name, subject in subjects.items()}


def _chosen(request: TraceRequest, spec: ModelSpec, names: Sequence[str]) -> list[str]:
    if request.signature is not None and request.signature not in names:
        raise UsageError(
            f"'{spec.name}' has no signature '{request.signature}'", hint=nearest(request.signature, names)
        )
    if request.calls is not None and request.signature is None and len(names) > 1:
        raise UsageError(
            f"'{spec.name}' has {len(names)} signatures, and a script calls one",
            hint=f"--signature, one of {', '.join(names)}",
        )
    return list(names) if request.signature is None else [request.signature]


def _signature(request: TraceRequest, traced: TracedModel, name: str, watched: Recorder | None) -> SignatureTrace:
    if watched is None and request.calls is not None:
        raise UsageError(
            f"'{traced.spec.name}' is a SavedModel: it is traced already", hint="give the model that it was made from"
        )
    function = traced.functions[name]
    frozen = _frozen(function, name)
    if frozen is None:
        inputs = [tensor.name for tensor in function.inputs]
        optimized = optimize(function.graph.as_graph_def(), inputs, [tensor.name for tensor in function.outputs])
    else:
        optimized = optimize(frozen.graph_def, list(frozen.inputs.values()), list(frozen.outputs.values()))
    feed = traced.samples[name](1, 0)
    busy = [done.name for done in optimized.passes if done.changes] if request.passes else []
    with _runnable(traced, name, frozen) as graph:
        return SignatureTrace(
            name,
            calls=watched.calls if watched else 0,
            traces=watched.traces if watched else (),
            failures=watched.failures if watched else (),
            optimized=optimized,
            placed=running.placed(graph, feed),
            threads=running.thread_effect(graph, feed),
            passes=running.pass_effects(graph, feed, busy) if busy else (),
        )


def _frozen(function: Any, name: str) -> Frozen | None:
    """None for a graph that reads tables or keeps state, which no constant can be."""
    try:
        return freeze(function, name)
    except UnsupportedError:
        return None


@contextmanager
def _runnable(traced: TracedModel, name: str, frozen: Frozen | None) -> Iterator[running.Runnable]:
    if frozen is not None:
        yield running.of_frozen(frozen)
        return
    with TemporaryDirectory() as folder:
        write(traced, Path(folder))
        yield running.of_saved_model(Path(folder), name)


def _write(request: TraceRequest, traced: TracedModel, found: Sequence[SignatureTrace]) -> Iterator[str]:
    if request.tensorboard is not None:
        yield from map(str, tensorboard.write(request.tensorboard, traced, [at.signature for at in found]))
    if request.picture is not None:
        seconds = {at.signature: at.placed.seconds for at in found}
        picture.write(request.picture, traced, seconds)
        yield str(request.picture)
