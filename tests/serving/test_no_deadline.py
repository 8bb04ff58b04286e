"""A call without a deadline has all the time that it needs: of every method, on each transport, batched or not."""

from pathlib import Path
from types import MappingProxyType
from typing import Any

import grpc
import numpy as np
import pytest

from tests.serving.conftest import Start
from tests.serving.running import PATIENCE_S, SIGNATURES, HeldModel, predict_body
from toolkit.core.tensors import Feed, Outputs, Signature, TensorSpec
from toolkit.wire import protos
from toolkit.wire.signatures import CLASSIFY_METHOD, REGRESS_METHOD, write_signature

# None, and one of 200 years: a client of Python's can name no later one than year 2262.
DEADLINES_S = (None, 6.3e9)
EXAMPLES = {"inputs": TensorSpec("string", (None,))}
RESULTS = MappingProxyType({"classify": "scores", "regress": "outputs"})
SHAPES = {"classify": (None, 1), "regress": (None,)}


class Judge(HeldModel):
    """Gives every example a 7, whoever asks."""

    def run(self, signature: str, feed: Feed) -> Outputs:
        if signature not in RESULTS:
            return super().run(signature, feed)
        rows = len(feed["inputs"])
        return {RESULTS[signature]: np.full((rows, 1) if signature == "classify" else rows, 7, np.float32)}


def judge() -> Judge:
    own = {
        name: write_signature(name, Signature(EXAMPLES, {result: TensorSpec("float32", SHAPES[name])}, method=name))
        for name, result in RESULTS.items()
    }
    return Judge(signatures=SIGNATURES | own)


def asked(kind: Any, signature: str) -> Any:
    request = kind()
    request.model_spec.name, request.model_spec.signature_name = "double", signature
    request.input.example_list.examples.add()
    return request


def both() -> Any:
    request = protos.MultiInferenceRequest()
    for signature, method in (("classify", CLASSIFY_METHOD), ("regress", REGRESS_METHOD)):
        task = request.tasks.add(method_name=method)
        task.model_spec.name, task.model_spec.signature_name = "double", signature
    request.input.example_list.examples.add()
    return request


def listed(directory: Path, *names: str) -> Any:
    """A reload of models, each with a version that loads."""
    request = protos.ReloadConfigRequest()
    for name in names:
        (directory / name / "1").mkdir(parents=True, exist_ok=True)
        config = request.config.model_config_list.config
        config.add(name=name, base_path=str(directory / name), model_platform="tensorflow")
    return request


@pytest.mark.parametrize("batching", [False, True])
def test_every_method_of_the_official_stubs_is_answered_without_a_deadline_and_with_a_far_one(
    start: Start, batching: bool, tmp_path: Path
) -> None:
    # They need the protobufs that toolkit.wire has loaded, and no TensorFlow.
    from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

    wanted = protos.PredictRequest.FromString(predict_body())
    with start(enable_batching=batching, model=judge()) as server, grpc.insecure_channel(server.address) as channel:
        ask = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        reload = model_service_pb2_grpc.ModelServiceStub(channel).HandleReloadConfigRequest
        for number, deadline_s in enumerate(DEADLINES_S):

            def done(method: Any, request: Any, deadline_s: float | None = deadline_s) -> Any:
                return method.future(request, timeout=deadline_s).result(PATIENCE_S)

            for _ in range(3):  # the first one goes to the pool, those after it are answered where they arrive
                assert list(done(ask.Predict, wanted).outputs["y"].float_val) == [2, 2]
            classified = done(ask.Classify, asked(protos.ClassificationRequest, "classify")).result
            assert [one.score for one in classified.classifications[0].classes] == [7]
            regressed = done(ask.Regress, asked(protos.RegressionRequest, "regress")).result
            assert [one.value for one in regressed.regressions] == [7]
            results = done(ask.MultiInference, both()).results
            assert results[0].classification_result == classified
            assert results[1].regression_result == regressed
            names = ("double", *(f"new{later}" for later in range(number + 1)))
            assert done(reload, listed(tmp_path, *names)).status.error_code == 0
            assert server.host.is_ready()


def test_far_is_told_from_for_ever() -> None:
    from toolkit.serving.transport import deadline_of

    assert deadline_of(2.5, 7) == 2_500_000_007
    assert deadline_of(-1.0, 7) == 7 - 1_000_000_000
    assert deadline_of(9.2e9, 0) == 9_200_000_000 * 1_000_000_000
    assert deadline_of(9_223_372_036_854_775_807.0, 0) is None  # grpcio's word for none
    assert deadline_of(float("inf"), 0) is None
