"""Answers requests from loaded versions; knows messages and arrays, but no transport."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from toolkit.core.tensors import Outputs
from toolkit.errors import ToolkitError
from toolkit.serving.library import Lease, Library
from toolkit.serving.timing import Timing
from toolkit.wire import configs, lifecycle_wording
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
from toolkit.wire.plans import (
    Plan,
    check_metadata,
    classification,
    plan_classify,
    plan_multi,
    plan_predict,
    plan_regress,
    regression,
)
from toolkit.wire.rpc_examples import multi_target
from toolkit.wire.signatures import CLASSIFY_METHOD, ServedSignature

Bind = Callable[[Mapping[str, ServedSignature]], PredictRequest]


class Runs(Protocol):
    """Runs plans against a leased version: at once, or gathered into batches."""

    def run(self, lease: Lease, plan: Plan, timing: Timing) -> Outputs:
        """The outputs that the plan fetches."""


class DirectRuns:
    """Each plan by itself, on the caller's thread."""

    def run(self, lease: Lease, plan: Plan, timing: Timing) -> Outputs:
        """The outputs that the plan fetches."""
        timing.artifact = lease.servable.artifact_for(plan.signature.name, plan.feed)
        with timing.phase("compute"):
            found = lease.servable.run(plan.signature.name, plan.feed)
        return {name: found[name] for name in plan.outputs}


@dataclass(frozen=True)
class Engine:
    """One data plane under every transport.

    Args:
        library: the versions in memory.
        runs: how plans are run.
        check_methods: refuse signatures whose method is not the call's (--enable_signature_method_name_check).
    """

    library: Library
    runs: Runs
    check_methods: bool = False

    def predict(self, request: PredictRequest, timing: Timing) -> PredictResponse:
        """Predict.

        Raises:
            ToolkitError: in TensorFlow Serving's words.
        """
        return self.predict_with(request.target, lambda _: request, timing)

    def predict_with(self, target: Target, bind: Bind, timing: Timing) -> PredictResponse:
        """Predict, where the request takes shape only once the model's signatures are known, as in JSON."""
        with self.library.lease(target) as lease:
            with timing.phase("parse"):
                signatures = lease.servable.signatures
                plan = plan_predict(signatures, bind(signatures), check_method=self.check_methods)
            return PredictResponse(lease.target, self.runs.run(lease, plan, timing))

    def classify(self, request: ExamplesRequest, timing: Timing) -> ClassifyResponse:
        """Classify."""
        with self.library.lease(request.target) as lease:
            with timing.phase("parse"):
                plan = plan_classify(lease.servable.signatures, request, check_method=self.check_methods)
            return classification(plan, lease.target, self.runs.run(lease, plan, timing))

    def regress(self, request: ExamplesRequest, timing: Timing) -> RegressResponse:
        """Regress."""
        with self.library.lease(request.target) as lease:
            with timing.phase("parse"):
                plan = plan_regress(lease.servable.signatures, request, check_method=self.check_methods)
            return regression(plan, lease.target, self.runs.run(lease, plan, timing))

    def multi_inference(self, request: MultiRequest, timing: Timing) -> MultiResponse:
        """MultiInference: the same examples for several signatures of one version."""
        with self.library.lease(multi_target(request)) as lease:
            with timing.phase("parse"):
                plans = plan_multi(lease.servable.signatures, request, check_method=self.check_methods)
            results: list[ClassifyResponse | RegressResponse] = []
            for task, plan in zip(request.tasks, plans, strict=True):
                target = task.target.answered_by(lease.version)
                interpret = classification if task.method == CLASSIFY_METHOD else regression
                results.append(interpret(plan, target, self.runs.run(lease, plan, timing)))
            return MultiResponse(tuple(results))

    def metadata(self, request: MetadataRequest) -> tuple[Target, Mapping[str, ServedSignature]]:
        """The version that answers, and its signatures."""
        check_metadata(request)
        with self.library.lease(request.target) as lease:
            return lease.target, lease.servable.signatures

    def status(self, target: Target) -> ModelStatus:
        """The states of a model's versions."""
        return self.library.status(target)

    def reload(self, request: ReloadRequest, timeout_s: float | None = None) -> None:
        """Serve another list of models; returns when the new ones answer. A refused list changes nothing.

        Raises:
            ServingError: the list is refused, or a new model did not become available.
        """
        if request.models is None:
            raise lifecycle_wording.config_kind_unsupported()
        configs.check_models(request.models)
        self.apply(request.models, timeout_s)

    def apply(self, models: Sequence[ModelConfig], timeout_s: float | None = None) -> None:
        """Serve these models and wait for the new ones."""
        fresh = self.library.reconfigure(models)
        failures: Mapping[tuple[str, int], ToolkitError] = self.library.wait_until_settled(fresh, timeout_s)
        if failures:
            raise lifecycle_wording.not_available(failures, start=False)
