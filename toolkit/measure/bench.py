"""From what a person asks of `bench` to a report: finds bundles, plans paths, starts a server, measures."""

import os
import secrets
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from toolkit.building.catalog import resolve, resolve_object
from toolkit.building.current import Report as Told
from toolkit.building.current import current_bundle
from toolkit.building.isolate import Isolated
from toolkit.building.pipeline import Options
from toolkit.core.artifact import Manifest, read_manifest
from toolkit.core.model import DEFAULT_SIGNATURE
from toolkit.core.store import find_root
from toolkit.errors import BenchError, UnavailableError, nearest
from toolkit.measure.awake import cores_awake
from toolkit.measure.machine import machine_facts
from toolkit.measure.measurement import Key, Measurement
from toolkit.measure.opening import require_device
from toolkit.measure.plan import (
    EFFORTS,
    SERVED,
    Effort,
    Source,
    Task,
    Threads,
    chosen_paths,
    local_paths,
    unmade_paths,
)
from toolkit.measure.report import Report
from toolkit.measure.server import Served, check_server, given_server, serve_bundle
from toolkit.measure.session import Progress, Session
from toolkit.wire.endpoints import Reach

_DEVICE_LIMIT_S = 300.0  # importing TensorFlow from a cold and busy disk takes minutes


@dataclass(frozen=True)
class BenchRequest:
    """What to measure and how; the fields are the options of `tfx-export bench`.

    Args:
        models: references.
        paths: names of paths; none is every one. Eager is always measured, to compare with.
        batch_sizes: rows of a call.
        threads: thread settings, swept; none is as many as there are cores.
        effort: quick, normal or full.
        max_seconds_per_path: in place of the effort's own cap.
        server: HOST:PORT of a server that runs already, in place of our own.
        reach: how to reach that server, beyond its address.
        device: a TensorFlow device, as in GPU:0.
        device_inputs: leave the conversion of inputs out.
        signature: which one; none is serving_default, or the only one.
    """

    models: Sequence[Any]
    paths: tuple[str, ...] = ()
    batch_sizes: tuple[int, ...] = (1,)
    threads: tuple[Threads, ...] = ()
    effort: str = "normal"
    max_seconds_per_path: float | None = None
    server: str = ""
    reach: Reach = field(default_factory=Reach)
    device: str = ""
    device_inputs: bool = False
    signature: str = ""
    imports: tuple[str, ...] = ()
    unsafe_lambda: bool = False
    root: Path | None = None
    verbose: bool = False


def measure(request: BenchRequest, progress: Progress = lambda what, done, of: None) -> Report:
    """Measure every model one after another, once all are built; what a person interrupts gives what there is.

    Raises:
        BenchError: what is asked for makes no sense.
        UnavailableError: TensorFlow has no such device here.
        ToolkitError: a model does not build.
    """
    effort = _effort(request)
    _refuse_namesakes(request)
    with cores_awake() as idle:
        return _measured(request, effort, machine_facts() | {"idle cores": idle}, progress)


def _measured(request: BenchRequest, effort: Effort, machine: dict[str, Any], progress: Progress) -> Report:
    seed = secrets.randbits(32)
    found: list[Measurement] = []
    facts: dict[str, dict[str, Any]] = {}
    if request.device:
        with Isolated(verbose=request.verbose) as child:  # TensorFlow stays out of this process
            child.run(require_device, request.device, timeout_s=_DEVICE_LIMIT_S)
    # All of them before any is measured: a fault of the last one costs nothing that was measured of the others.
    targets = [
        _Target.find(request, one, lambda model, step: progress(f"{model}: {step}", 0, 0)) for one in request.models
    ]
    whole = True
    for target in targets:
        facts[target.model] = target.facts(request)
        try:
            with ExitStack() as stack:
                tasks, absent = target.tasks(request, stack)
                session = Session(tasks, effort, progress, seed, verbose=request.verbose)
                whole = session.run()
                found += [*session.measurements, *absent]
        except KeyboardInterrupt:  # while its server started: what stands of others is shown
            whole = False
        if not whole:
            break
    settings = {
        "paths": list(request.paths),
        "batch_sizes": list(request.batch_sizes),
        "device": request.device,
        "device_inputs": request.device_inputs,
        "server": request.server,
        "max_seconds_per_path": effort.most_s,
        "processes": effort.processes,
    }
    created = datetime.now(UTC).isoformat(timespec="seconds")
    return Report(created, machine, effort, settings, seed, tuple(found), facts, interrupted=not whole)


def _effort(request: BenchRequest) -> Effort:
    if request.effort not in EFFORTS:
        raise BenchError(f"there is no effort '{request.effort}'", hint=nearest(request.effort, list(EFFORTS)))
    if not request.models:
        raise BenchError("no model was named", hint="tfx-export bench MODEL")
    if any(size < 1 for size in request.batch_sizes):
        raise BenchError("a batch has at least one row", hint="--batch 1")
    if request.max_seconds_per_path is not None and request.max_seconds_per_path <= 0:
        raise BenchError("a path needs some time", hint="--max-seconds-per-path 20s")
    if request.server:
        check_server(request.server, request.reach)
    effort = EFFORTS[request.effort]
    return effort if request.max_seconds_per_path is None else effort.capped(request.max_seconds_per_path)


def _refuse_namesakes(request: BenchRequest) -> None:
    """Rows are told apart by the model's name, and no time is spent on what the table could not show."""
    if len(request.models) < 2:
        return
    root = request.root or find_root(Path.cwd())
    seen: dict[str, str] = {}
    for reference in (str(one) for one in request.models if isinstance(one, str | Path)):
        name = resolve(reference, root, request.imports).spec.name
        if name in seen:
            raise BenchError(f"'{seen[name]}' and '{reference}' are both called {name}", hint="measure one of them")
        seen[name] = reference


@dataclass(frozen=True)
class _Target:
    """One model: its bundle, and where its source is."""

    bundle: Path
    manifest: Manifest
    source: Source

    @classmethod
    def find(cls, request: BenchRequest, reference: Any, told: Told) -> "_Target":
        root = request.root or find_root(Path.cwd())
        if not isinstance(reference, str | Path):
            resolve_object(reference)  # says what is wrong with it before this does
            raise BenchError(
                "a worker process finds a model by its reference, not by the object",
                hint="name it: 'path/file.py:NAME' or 'package.module:NAME'",
            )
        entry = resolve(str(reference), root, request.imports)
        options = Options(root / "exported", unsafe_lambda=request.unsafe_lambda)
        bundle = current_bundle(entry, options, told)
        source = Source(str(reference), root, request.imports, request.unsafe_lambda)
        found = cls(bundle, read_manifest(bundle), source)
        found.signature(request.signature)
        found.paths(request)
        return found

    @property
    def model(self) -> str:
        return self.manifest.model

    def facts(self, request: BenchRequest) -> dict[str, Any]:
        """What a page tells of the model: its graph and its artifacts."""
        artifacts = {found.name: found.size_bytes for found in self.manifest.artifacts if found.files}
        source = self.manifest.source
        return {
            "bundle": self.bundle.name,
            "sha256": source.sha256,
            "baseline": source.baseline,
            "signature": self.signature(request.signature),
            "trace": dict(self.manifest.trace),
            "artifacts": artifacts,
        }

    def signature(self, wanted: str) -> str:
        names = list(self.manifest.signatures)
        chosen = wanted or (DEFAULT_SIGNATURE if DEFAULT_SIGNATURE in names else names[0])
        if chosen not in names:
            raise BenchError(f"{self.model} has no signature '{chosen}'", hint=nearest(chosen, names))
        return chosen

    def paths(self, request: BenchRequest) -> list[str]:
        """The paths asked for; BenchError where there is no such path."""
        return chosen_paths(local_paths(self.manifest), unmade_paths(self.manifest), request.paths)

    def tasks(self, request: BenchRequest, stack: ExitStack) -> tuple[list[Task], list[Measurement]]:
        """What to measure, and rows that could not even be started."""
        known, unmade, names = local_paths(self.manifest), unmade_paths(self.manifest), self.paths(request)
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        sweep = request.threads or (Threads(cores, cores),)
        found: list[Task] = []
        absent: list[Measurement] = []
        for threads in sweep:
            found += [self._task(request, name, threads, *known[name]) for name in names if name in known]
            for name, why in unmade.items():
                absent += self._absent(request, name, threads, why) if name in names else []
            served = [name for name in names if name in SERVED]
            if not served or (request.server and threads is not sweep[0]):
                continue  # a server that runs already has the threads that it has: it is asked once
            server, why = self._server(request, threads, stack)
            for name in served:
                task = self._task(request, name, threads, "served", "")
                if url := server.url(name, task.signature):
                    found.append(task.served_at(url, server.pid, server.reach))
                else:
                    absent += self._absent(request, name, threads, why)
        return found, absent

    def _absent(self, request: BenchRequest, path: str, threads: Threads, why: str) -> list[Measurement]:
        return [Measurement(Key(self.model, path, size, threads), absent=why) for size in request.batch_sizes]

    def _task(self, request: BenchRequest, path: str, threads: Threads, runtime: str, artifact: str) -> Task:
        return Task(
            model=self.model,
            path=path,
            runtime=runtime,
            source=self.source,
            bundle=self.bundle,
            signature=self.signature(request.signature),
            batch_sizes=request.batch_sizes,
            threads=threads,
            artifact=artifact,
            device=request.device,
            device_inputs=request.device_inputs,
        )

    def _server(self, request: BenchRequest, threads: Threads, stack: ExitStack) -> tuple[Served, str]:
        """The server to ask, and what to say of a path that it does not answer."""
        if request.server:
            given = given_server(request.server, self.model, request.reach)
            return given, f"{request.server} is of the other protocol"
        try:
            return stack.enter_context(
                serve_bundle(self.bundle, self.model, threads.intra)
            ), "the server has no such port"
        except UnavailableError as error:
            return Served("", "", self.model), error.message
