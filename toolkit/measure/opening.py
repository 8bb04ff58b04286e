"""Opens one path in this process, and writes down how long each part of its cold start took."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from importlib import import_module
from math import isfinite
from time import perf_counter_ns
from typing import Any

from toolkit.core.artifact import GOLDEN, Behaviour, Manifest, read_manifest
from toolkit.core.golden import Case, read_golden
from toolkit.core.model import TracedModel
from toolkit.core.parity import Allowed, Check
from toolkit.core.plugins import MODEL, RUNTIMES, Opening, Runtime
from toolkit.core.runner import Runner
from toolkit.core.tensors import Outputs
from toolkit.errors import UnavailableError
from toolkit.measure.plan import Task
from toolkit.measure.weights import restore_weights
from toolkit.runtimes.served import Moments, open_remote
from toolkit.verifying.parity import Expectation, check_runner
from toolkit.wire.endpoints import parse_url

# A client cannot bring a server's variables back to where they were, and others may ask it meanwhile.
_STATE_ELSEWHERE = "its state is the server's, so its answers were held to names, dtypes and shapes alone"


@dataclass
class Stopwatch:
    """Seconds of the parts of a cold start, by name; each part counts from the end of the one before."""

    parts: dict[str, float] = field(default_factory=dict)
    _last_ns: int = field(default_factory=perf_counter_ns)

    def lap(self, name: str) -> None:
        """What happened since the last lap belongs to this part."""
        now = perf_counter_ns()
        self.parts[name] = self.parts.get(name, 0.0) + (now - self._last_ns) / 1e9
        self._last_ns = now

    def skip(self) -> None:
        """What happened since the last lap is no part of the path."""
        self._last_ns = perf_counter_ns()


class OpenPath:
    """An open path: its runner, what proves it right, and how it started."""

    def __init__(self, task: Task) -> None:
        watch = Stopwatch()
        self.task = task
        self._stack = ExitStack()
        self._runtime: Runtime = RUNTIMES.load(task.runtime)
        for library in self._runtime.libraries:
            import_module(library)
        watch.lap("import")
        self.manifest: Manifest = read_manifest(task.bundle)
        self.signature = self.manifest.signatures[task.signature]
        cases = read_golden(task.bundle / GOLDEN, self.manifest.signatures)
        self.cases: list[Case] = [case for case in cases if case.signature == task.signature]
        watch.skip()
        if "tensorflow" in self._runtime.libraries:
            self._stack.enter_context(_settings(task))
        self._opening = self._prepare(watch)
        self.moments: list[Moments] = []
        self.runner: Runner = self._stack.enter_context(self._open())
        watch.lap("load" if task.artifact or task.url or MODEL in self._runtime.opens else "trace")
        self.cold_s = watch.parts
        self.watch = watch

    def _open(self) -> AbstractContextManager[Runner]:
        if self.task.url:
            return open_remote(self.task.reach.apply(parse_url(self.task.url)), watch=self.moments.append)
        return self._runtime.open(self._opening)

    def _prepare(self, watch: Stopwatch) -> Opening:
        task = self.task
        path, traced = task.bundle, None
        if task.artifact:
            artifact = self.manifest.artifact(task.artifact)
            assert artifact is not None, "the plan takes artifacts from this manifest"
            path = task.bundle / artifact.paths[task.signature]
        elif task.needs_model:
            traced = _traced(task, watch, count_trace=MODEL not in self._runtime.opens)
            restore_weights(traced, task.bundle, self.manifest)
            watch.skip()
        threads = task.threads
        return Opening(path, task.signature, self.signature, threads.intra, task.url, traced, threads.inter)

    @property
    def behaviour(self) -> Behaviour:
        """What eager does, which decides what may be asked of this path."""
        return self.manifest.behaviour.get(self.task.signature, Behaviour())

    @property
    def caveat(self) -> str:
        """What was not asked of its answers, and why; empty when all was."""
        return _STATE_ELSEWHERE if self.behaviour.stateful and self.task.url else ""

    def problem(self) -> str:
        """What is wrong with this path's answers to the golden cases; empty when nothing is."""
        behaviour = self.behaviour
        if self.caveat:
            return form_problem(self.runner.run(self.cases[0].feed), self.cases[0].outputs)
        tolerances = dict(self.manifest.tolerances)
        allowed: dict[str, Allowed] = {}
        artifact = self.manifest.artifact(self.task.artifact)
        for check in artifact.parity.checks if artifact else ():
            if check.signature == self.task.signature:
                tolerances |= {name: found.tolerance for name, found in check.outputs.items()}
                allowed |= allowances(check)
        wanted = Expectation(self.task.signature, self.signature, self.cases, behaviour, tolerances, allowed)
        check = check_runner(self.task.path, self._fresh if behaviour.stateful else self._same, wanted)
        problems = (*check.problems, *(found.problem for found in check.outputs.values() if not found.passed))
        return next(iter(problems), "")

    def _same(self) -> AbstractContextManager[Runner]:
        return nullcontext(self.runner)

    @contextmanager
    def _fresh(self) -> Iterator[Runner]:
        """The runner as it was at first, for a model that keeps state between calls."""
        self._stack.close()
        if self._opening.traced is not None:
            restore_weights(self._opening.traced, self.task.bundle, self.manifest)
        self.runner = self._stack.enter_context(self._open())
        yield self.runner

    def converted(self, feed: Any) -> Any:
        """The feed as the timed call gets it."""
        if not self.task.device_inputs or not self.task.needs_model:
            return feed
        import tensorflow as tf

        return {name: tf.constant(feed[name], spec.dtype) for name, spec in self.signature.inputs.items()}


def allowances(check: Check) -> dict[str, Allowed]:
    """What an artifact may differ by here: what it differed by when the build's own gate let it pass.

    A quantized artifact is judged there by its task. Here it must still be as close as it was; a tenth is for other
    numbers of threads, which add up in another order and may tip a rounding.
    """
    return {
        name: found.allowed or Allowed(1.1 * found.max_abs, "as far as when its gate let it pass")
        for name, found in check.outputs.items()
        if found.passed and isfinite(found.max_abs)
    }


def form_problem(actual: Outputs, expected: Outputs) -> str:
    """The first output that is missing or has another dtype or shape."""
    for name, want in expected.items():
        have = actual.get(name)
        if have is None:
            return f"output '{name}' is missing; there are {', '.join(actual) or 'none'}"
        if (have.dtype, have.shape) != (want.dtype, want.shape):
            return f"output '{name}' is {have.dtype} {have.shape}, expected {want.dtype} {want.shape}"
    return ""


@contextmanager
def _settings(task: Task) -> Iterator[None]:
    """TensorFlow's threads and device, before its first operation."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(task.threads.intra)
    tf.config.threading.set_inter_op_parallelism_threads(task.threads.inter)
    if not task.device:
        yield
        return
    require_device(task.device)
    with tf.device(task.device):
        yield


def require_device(name: str) -> None:
    """Nothing, where TensorFlow has a device of this name.

    Raises:
        UnavailableError: it has none; the hint names those that there are.
    """
    import tensorflow as tf

    known = [device.name.rpartition("device:")[2] for device in tf.config.list_logical_devices()]
    if name not in known:
        raise UnavailableError(
            f"TensorFlow sees no device {name} here", hint=f"it sees {', '.join(known)}; --device takes one of them"
        )


def _traced(task: Task, watch: Stopwatch, *, count_trace: bool) -> TracedModel:
    from toolkit.building.catalog import resolve
    from toolkit.building.load import build_model
    from toolkit.building.trace import trace_model

    source = task.source
    entry = resolve(source.reference, source.root, source.imports)
    built = build_model(entry.spec, unsafe_lambda=source.unsafe_lambda)
    watch.lap("load")
    traced = trace_model(entry.spec, built)
    if count_trace:
        watch.lap("trace")
    return traced
