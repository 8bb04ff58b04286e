"""What `toolkit` exports: build, verify, predict and open, composed of the packages below."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from toolkit.building import jobs, targets
from toolkit.building.catalog import resolve, shipped
from toolkit.building.isolate import Isolated
from toolkit.building.several import DEFAULT_TIMEOUT_S, BuildOptions, BuildRequest, build_all
from toolkit.core.artifact import Manifest
from toolkit.core.parity import Allowed, Parity
from toolkit.core.runner import Runner
from toolkit.core.store import find_root, newest
from toolkit.core.tensors import Feed, Outputs, sample_feed
from toolkit.errors import ExportError, ParityError, ToolkitError
from toolkit.verifying.bundle import check_files, unrun
from toolkit.wire.endpoints import Reach, is_url, parse_url

if TYPE_CHECKING:
    from toolkit.deploying.deployment import Deployment
    from toolkit.insight.doctor.examine import Examination
    from toolkit.insight.inspecting import InspectOptions
    from toolkit.insight.inspection import Inspection
    from toolkit.insight.tracing.report import TraceReport
    from toolkit.measure.comparing import Comparison
    from toolkit.measure.load.report import LoadReport
    from toolkit.measure.report import Report
    from toolkit.serving.embedded import ServeRequest, Serving


def build(
    model: Any, *, formats: Sequence[str] = (), out: str | Path | None = None, **options: Unpack[BuildOptions]
) -> Manifest:
    """Build one model and give the manifest of its published bundle.

    Args:
        model: a reference, a ModelSpec, or a factory of a Keras model.
        formats: artifact names; none is every format.
        out: the bundle's directory; None is `<root>/exported/<model>/<version>`.
        options: those of BuildOptions.

    Raises:
        ToolkitError: as `tfx-export build` would end; the class fixes the exit code.
    """
    request = BuildRequest((model,), tuple(formats), Path(out) if out else None, **options)
    outcome = build_all(request)[0]
    if isinstance(outcome, ToolkitError):
        raise outcome
    if outcome.error:
        raise outcome.error
    return outcome.manifest


def verify(path: str | Path, *, timeout_s: float = DEFAULT_TIMEOUT_S, verbose: bool = False) -> Manifest:
    """Hash every file of a bundle and replay its golden cases through every artifact, without the model's source.

    Returns:
        The manifest, with the parity found now in place of the one written at the build.

    Raises:
        ParityError: a byte is not as published. What the artifacts answered wrong is in the parities: `verified`.
    """
    bundle = targets.find_bundle(Path(path))
    manifest = check_files(bundle)
    place = bundle.absolute()  # the child may be somewhere else
    judged = []
    with Isolated(verbose=verbose) as child:
        for artifact in manifest.artifacts:
            if not artifact.paths:
                judged.append(artifact)
                continue
            known = _allowed_before(artifact.parity)
            try:
                parity = child.run(jobs.judge_artifact, place, manifest, artifact.name, known, timeout_s=timeout_s)
            except ExportError as error:  # what came out of the child: it died, or a runtime raised unforeseen
                parity = unrun(manifest, artifact.name, error)
            judged.append(replace(artifact, parity=parity))
    return replace(manifest, artifacts=tuple(judged))


def verified(manifest: Manifest) -> ParityError | None:
    """What is wrong with the artifacts of a manifest that `verify` gave; None when all that were made agree."""
    failed = [found.parity.reason for found in manifest.artifacts if found.paths and found.parity.status != "pass"]
    return ParityError("; ".join(failed), hint="build the bundle again") if failed else None


def _allowed_before(parity: Parity) -> dict[str, Allowed]:
    return {
        name: deviation.allowed
        for check in parity.checks
        for name, deviation in check.outputs.items()
        if deviation.allowed
    }


def open_artifact(
    bundle_dir: str | Path, name: str, signature: str | None = None, threads: int | None = None
) -> AbstractContextManager[Runner]:
    """A Runner over one artifact of a bundle, as a context manager; where there is one signature, that one."""
    return targets.open_bundle(targets.find_bundle(Path(bundle_dir)), name, signature, threads).runner


def predict(
    target: str | Path,
    feed: Mapping[str, Any] | None = None,
    *,
    artifact: str | None = None,
    signature: str | None = None,
    reach: Reach | None = None,
) -> Outputs:
    """Ask a bundle, an artifact or an endpoint one question; without a feed, a golden or a made-up one of batch 1."""
    opened = _open_target(target, artifact, signature, reach)
    with opened.runner as runner:
        chosen: Feed = feed if feed is not None else opened.golden_feed or sample_feed(runner.signature, 1, 0)
        return runner.run(chosen)


def connect(url: str, *, signature: str | None = None, reach: Reach | None = None) -> AbstractContextManager[Runner]:
    """A Runner over `grpc://HOST:PORT/MODEL[:SIGNATURE]` or `http://HOST:PORT/MODEL[:SIGNATURE]`.

    Args:
        url: where the model answers.
        signature: in place of the one in the URL.
        reach: TLS files and the message limit.
    """
    from toolkit.runtimes.served import open_remote  # late: bundles need no client

    remote = (reach or Reach()).apply(parse_url(url))
    if signature is not None:
        remote = replace(remote, target=replace(remote.target, signature=signature))
    return open_remote(remote)


def _open_target(
    target: str | Path, artifact: str | None, signature: str | None, reach: Reach | None
) -> targets.Opened:
    if isinstance(target, str) and is_url(target):
        return targets.Opened(connect(target, signature=signature, reach=reach), None)
    return targets.open_path(Path(target), artifact, signature)


def serve(target: str | Path | None = None, request: "ServeRequest | None" = None) -> "AbstractContextManager[Serving]":
    """A server in this process, for as long as the context lasts; what it gives names the endpoints.

    Args:
        target: a model of the project, a folder of bundles, a bundle, or a folder of SavedModel versions; None serves
            what the request's flags name.
        request: the flags of `tfx-export serve`, by their names with underscores.
    """
    from toolkit.serving.embedded import serve as served  # late: an HTTP and a gRPC server take a while to load

    return served(target, request)


def list_models(start: Path) -> list[dict[str, Any]]:
    """Name, description and newest bundle of every model in the project around `start`."""
    root = find_root(start)
    found = []
    for name in shipped(root):
        model = name
        try:
            spec = resolve(name, root).spec
            model, description = spec.name, spec.description
        except ToolkitError as error:
            description = error.message
        bundle = newest(root / "exported", model)
        found.append({"name": name, "bundle": str(bundle) if bundle else None, "description": description})
    return found


def deploy(
    bundle: str | Path, *, to: str | Path, tell: Callable[[str], None] = lambda text: None, **options: Any
) -> "Deployment | None":
    """Publish a bundle to a serving root through the gate; None for a dry run.

    Args:
        bundle: a bundle, or the folder of a model's bundles.
        to: the serving root; the model's name below it is TensorFlow Serving's base path.
        tell: gets each step and finding as a line.
        options: further fields of toolkit.deploying.requests.DeployRequest.

    Raises:
        DeployError: a gate refused, or the rollout was taken back.
    """
    from toolkit.deploying.requests import DeployRequest, deploy_request  # late: gRPC takes a while to load

    found = targets.find_bundle(Path(bundle))
    return deploy_request(DeployRequest(found, Path(to), **options), found, tell)


def bench(*models: str | Path, **options: Any) -> "Report":
    """Measure every path of models, as `tfx-export bench` does; a report shows itself in a notebook.

    Args:
        models: references.
        options: further fields of toolkit.measure.bench.BenchRequest, as in effort="quick" and batch_sizes=(1, 32).

    Raises:
        ToolkitError: a model does not build, or what is asked for makes no sense.
    """
    from toolkit.measure.bench import BenchRequest, measure  # late: who builds or serves needs no workers

    return measure(BenchRequest(models=models, **options))


def compare(base: str | Path, new: str | Path) -> "Comparison":
    """Which paths became faster or slower between two reports of one machine.

    Raises:
        BenchError: they are no reports, or from unlike machines.
    """
    from toolkit.measure.reading import compare_files  # late: likewise

    return compare_files(Path(base), Path(new))


def load(*targets: str | Path, **options: Any) -> "LoadReport":
    """Load served models, as `tfx-export load` does; a report shows itself in a notebook.

    Args:
        targets: URLs, or bundles and models of the project, which are then served.
        options: further fields of toolkit.measure.load.request.LoadRequest, as in rates=(100, 200), duration_s=10.

    Raises:
        ToolkitError: a target does not answer, or what is asked for makes no sense.
    """
    from toolkit.measure.load.request import LoadRequest  # late: likewise
    from toolkit.measure.load.session import measure_load

    return measure_load(LoadRequest(targets=tuple(map(str, targets)), **options))


def inspect(path: str | Path, options: "InspectOptions | None" = None) -> "Inspection":
    """What is in an artifact, without running it or loading TensorFlow.

    Args:
        path: a bundle or a model's folder of bundles, a SavedModel, or a .tflite, .onnx or .keras file.
        options: limits, and whether modelscan is asked as well.

    Raises:
        CatalogError: it is none of these.
        ParityError: it is damaged, cut off or hostile.
    """
    from toolkit.insight.inspecting import inspect as inspected  # late: likewise

    return inspected(path, options)


def trace(model: Any, **options: Any) -> "TraceReport":
    """How often a model's function is traced and why, what runs at trace time only, what Grappler makes of its graph.

    Args:
        model: a reference, a ModelSpec, or a factory of a Keras model.
        options: those of `insight.tracing.tracing.TraceRequest`, as in `tfx-export trace --help`.

    Raises:
        ToolkitError: it cannot be found, built, called or traced.
    """
    from toolkit.insight.tracing.tracing import TraceRequest  # late: it loads TensorFlow
    from toolkit.insight.tracing.tracing import trace as traced

    return traced(TraceRequest(model, **options))


def doctor(model: str | None = None, **options: Any) -> "Examination":
    """What this machine, its stack, a server and a model are fit for; `missing` names what is needed and not there.

    Args:
        model: a reference, as `toolkit.build` takes it.
        options: further fields of toolkit.insight.doctor.examine.DoctorRequest, as in server="localhost:8500".

    Raises:
        ToolkitError: the model does not load or cannot be traced.
    """
    from toolkit.insight.doctor.examine import DoctorRequest, examine  # late: likewise

    return examine(DoctorRequest(model=model, **options))
