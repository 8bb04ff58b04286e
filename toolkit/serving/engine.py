"""Answers requests from loaded versions; knows messages and arrays, but no transport."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from toolkit.core.tensors import Feed, Outputs
from toolkit.serving.callers import Caller
from toolkit.serving.library import Lease, Library
from toolkit.serving.merging import Merged, merged_of
from toolkit.serving.servables import Servable, first_answer
from toolkit.serving.timing import Timing
from toolkit.serving.versions import Version
from toolkit.wire import lifecycle_wording
from toolkit.wire import plans_examples as examples
from toolkit.wire.fast_predict import Form
from toolkit.wire.fast_rest import Body, feed_of
from toolkit.wire.messages import (
    ClassifyResponse,
    ExamplesRequest,
    MetadataRequest,
    ModelConfig,
    ModelStatus,
    MultiRequest,
    MultiResponse,
    PredictRequest,
    PredictResponse,
    RegressResponse,
    ReloadRequest,
    Target,
)
from toolkit.wire.plans import Check, Plan, check_metadata, no_check, plan_predict
from toolkit.wire.rpc_examples import multi_target
from toolkit.wire.signatures import ServedSignature

Bind = Callable[[Mapping[str, ServedSignature]], PredictRequest]


# What one plan asks for, with the values of any feed that is shaped like its own.
Run = Callable[[Feed, Timing], Outputs]


class Runs(Protocol):
    """Runs plans against a leased version: at once, or gathered into batches."""

    def check(self, servable: Servable) -> Check:
        """What refuses a version's plans before its session looks at their tensors."""

    def run(self, lease: Lease, plan: Plan, timing: Timing) -> Outputs:
        """The outputs that the plan fetches."""

    def bind(self, lease: Lease, plan: Plan) -> Run:
        """The same for plans that differ from this one in their values alone; of use while the version is loaded."""


class DirectRuns:
    """Each plan by itself, on the caller's thread."""

    def check(self, _: Servable) -> Check:
        """Refuses none: whatever comes goes on to the session."""
        return no_check

    def run(self, lease: Lease, plan: Plan, timing: Timing) -> Outputs:
        """The outputs that the plan fetches."""
        return self.bind(lease, plan)(plan.feed, timing)

    def bind(self, lease: Lease, plan: Plan) -> Run:
        """Runs plans that differ from this one in their values alone."""
        outputs, clock = plan.outputs, time.perf_counter_ns
        able = lease.servable.able(plan.signature.name, plan.feed)
        best = able[0].artifact

        def run(feed: Feed, timing: Timing) -> Outputs:
            timing.artifact = best
            started_ns = clock()
            try:
                timing.artifact, found = first_answer(able, feed)
            finally:
                timing.compute_ns += clock() - started_ns
            return found if (*found,) == outputs else {name: found[name] for name in outputs}

        return run


@dataclass(frozen=True, slots=True)
class _Known:
    """What a version answers requests of one form with.

    Args:
        defaults: inputs that the form leaves out.
        merged: what runs several of them together, where they may be.
        computes: whether a call keeps a core busy from start to end.
    """

    target: Target
    run: Run
    defaults: Feed
    merged: Merged | None = None
    computes: bool = False


@dataclass(slots=True)
class Prepared:
    """A Predict that has only to be run; it holds its version until then."""

    model: str
    version: Version
    target: Target
    run: Run
    feed: Feed
    merged: Merged | None = None
    computes: bool = False


@dataclass(frozen=True)
class Engine:
    """One data plane under every transport.

    Args:
        library: the versions in memory.
        runs: how plans are run.
        check_methods: refuse signatures whose method is not the call's (--enable_signature_method_name_check).
        together: runs the rows of several requests at once; None where they are gathered into batches anyway.
    """

    library: Library
    runs: Runs
    check_methods: bool = False
    together: Runs | None = None

    def predict(self, request: PredictRequest, timing: Timing) -> PredictResponse:
        """Predict.

        Raises:
            ToolkitError: in TensorFlow Serving's words.
        """
        return self.predict_with(request.target, lambda _: request, timing)

    def predict_with(self, target: Target, bind: Bind, timing: Timing) -> PredictResponse:
        """Predict, where the request takes shape only once the model's signatures are known, as in JSON."""
        return self.run(self.prepare(target, bind, timing), timing)

    def prepare(self, target: Target, bind: Bind, timing: Timing) -> Prepared:
        """The first half of predict_with; what it gives has to be run, since it holds its version until then."""
        version, servable = self.library.acquire(target)
        try:
            with timing.phase("parse"):
                plan = self._plan(plan_predict, servable, bind(servable.signatures))
            lease = Lease(target.answered_by(version.number), version.number, servable)
            return Prepared(target.model, version, lease.target, self.runs.bind(lease, plan), plan.feed)
        except BaseException:
            self.library.release(target.model, version)
            raise

    def _plan(self, plan: Callable[..., Plan], servable: Servable, request: PredictRequest | ExamplesRequest) -> Plan:
        return plan(servable.signatures, request, check_method=self.check_methods, check=self.runs.check(servable))

    def prepare_form(self, form: Form, body: bytes, timing: Timing) -> Prepared:
        """The same for a request of a form: what such requests have in common is looked up once a version."""
        target = form.target
        version, servable = self.library.acquire(target)
        try:
            known: _Known | None = version.known.get(form)
            if known is None:
                lease = Lease(target.answered_by(version.number), version.number, servable)
                known = version.know(form, self._known(form, body, lease, timing))
            started_ns = time.perf_counter_ns()
            feed = form.feed(body)
            if known.defaults:
                feed.update(known.defaults)
            timing.parse_ns += time.perf_counter_ns() - started_ns
            return Prepared(target.model, version, known.target, known.run, feed, known.merged, known.computes)
        except BaseException:
            self.library.release(target.model, version)
            raise

    def prepare_body(self, body: Body, timing: Timing) -> Prepared:
        """The same for a body over REST, which means something only once the signatures are known."""
        target = body.target
        version, servable = self.library.acquire(target)
        started_ns = time.perf_counter_ns()
        try:
            known: _Known | None = version.known.get(body.form)
            feed = body.feed() if known is not None else None
            if known is None or feed is None:
                request = body.bind(servable.signatures)
                plan = self._plan(plan_predict, servable, request)
                lease = Lease(request.target.answered_by(version.number), version.number, servable)
                defaults = {name: array for name, array in plan.feed.items() if name not in request.feed}
                merged = merged_of(self.together, lease, plan)
                known, feed = _Known(lease.target, self.runs.bind(lease, plan), defaults, merged), dict(request.feed)
                if body.form is not None:
                    version.know(body.form, known)
            if known.defaults:
                feed.update(known.defaults)
            return Prepared(target.model, version, known.target, known.run, feed)
        except BaseException:
            self.library.release(target.model, version)
            raise
        finally:
            timing.parse_ns += time.perf_counter_ns() - started_ns

    def run_together(self, bodies: Sequence[Body], timing: Timing) -> Outputs | None:
        """What bodies of one target and one form give, run as one batch: their rows below each other.

        None where they have to be asked one by one; so they have where this raises.
        """
        first = bodies[0]
        version, _ = self.library.acquire(first.target)
        try:
            known: _Known | None = version.known.get(first.form)
            if known is None or known.merged is None or known.defaults or len(bodies) > known.merged.most:
                return None
            with timing.phase("parse"):
                feed = feed_of(bodies)
            return None if feed is None else known.merged.run(feed, len(bodies), timing)
        finally:
            self.library.release(first.target.model, version)

    def _known(self, form: Form, body: bytes, lease: Lease, timing: Timing) -> _Known:
        with timing.phase("parse"):
            request = form.request(body)
            plan = self._plan(plan_predict, lease.servable, request)
        defaults = {name: array for name, array in plan.feed.items() if name not in request.feed}
        run, best = self.runs.bind(lease, plan), lease.servable.able(plan.signature.name, plan.feed)[0]
        # A runner that is lent to a call at a time allocates anew for every other number of rows. Requests of a
        # SavedModel stay runs of their own, as in TensorFlow Serving, unless it is told to batch.
        merged = merged_of(self.together, lease, plan) if best.concurrent and best.computes else None
        return _Known(lease.target, run, defaults, merged, best.computes)

    def run(self, prepared: Prepared, timing: Timing) -> PredictResponse:
        """The second half."""
        try:
            return PredictResponse(prepared.target, prepared.run(prepared.feed, timing))
        finally:
            self.library.release(prepared.model, prepared.version)

    def run_merged(self, merged: Merged, group: Sequence[Prepared], timings: Sequence[Timing]) -> list[PredictResponse]:
        """The second half of requests of one form, as one batch; where this raises, each has still to be run."""
        outputs = merged.run_each([prepared.feed for prepared in group], timings)
        for prepared in group:
            self.library.release(prepared.model, prepared.version)
        return [PredictResponse(prepared.target, found) for prepared, found in zip(group, outputs, strict=True)]

    def classify(self, request: ExamplesRequest, timing: Timing) -> ClassifyResponse:
        """Classify."""
        with self.library.lease(request.target) as lease:
            with timing.phase("parse"):
                plan = self._plan(examples.plan_classify, lease.servable, request)
            return examples.classification(plan, lease.target, self.runs.run(lease, plan, timing))

    def regress(self, request: ExamplesRequest, timing: Timing) -> RegressResponse:
        """Regress."""
        with self.library.lease(request.target) as lease:
            with timing.phase("parse"):
                plan = self._plan(examples.plan_regress, lease.servable, request)
            return examples.regression(plan, lease.target, self.runs.run(lease, plan, timing))

    def multi_inference(self, request: MultiRequest, timing: Timing) -> MultiResponse:
        """MultiInference: the same examples for several signatures of one version."""
        with self.library.lease(multi_target(request)) as lease:
            with timing.phase("parse"):
                plans = examples.plan_multi(lease.servable.signatures, request, check_method=self.check_methods)
            # The real server runs all tasks as one call: none of its answers is looked at before all have run.
            outputs = [self.runs.run(lease, plan, timing) for plan in plans]
            return examples.multi_answer(request, plans, lease.version, outputs)

    def metadata(self, request: MetadataRequest) -> tuple[Target, Mapping[str, ServedSignature]]:
        """The version that answers, and its signatures."""
        check_metadata(request)
        with self.library.lease(request.target) as lease:
            return lease.target, lease.servable.signatures

    def status(self, target: Target) -> ModelStatus:
        """The states of a model's versions."""
        return self.library.status(target)

    def reload(self, request: ReloadRequest, timeout_s: float | None = None, caller: Caller | None = None) -> None:
        """Serve another list of models; returns when the new ones answer. A refused list changes nothing.

        Raises:
            ServingError: the list is refused, or a new model did not become available.
        """
        if request.models is None:
            raise lifecycle_wording.config_kind_unsupported()
        self.apply(request.models, timeout_s, caller)

    def apply(
        self, models: Sequence[ModelConfig], timeout_s: float | None = None, caller: Caller | None = None
    ) -> None:
        """Serve these models and wait for the new ones."""
        fresh = self.library.reconfigure(models)
        failures = self.library.wait_until_settled(fresh, timeout_s, caller)
        if failures:
            raise lifecycle_wording.not_available(failures, start=False)
