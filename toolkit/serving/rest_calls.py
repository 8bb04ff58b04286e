"""Answers REST calls from the engine, bytes to bytes; knows no HTTP library."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from toolkit.errors import Fault, ServingError, ToolkitError
from toolkit.serving.engine import Engine
from toolkit.serving.metrics import Metrics, Observation
from toolkit.serving.timing import Timing
from toolkit.wire import rest, rest_examples, rest_models, rest_outputs, rest_predict
from toolkit.wire.codes import CODE_OF_FAULT, Code
from toolkit.wire.messages import MetadataRequest, PredictRequest, Target
from toolkit.wire.rest import Answer, Call, RestCall
from toolkit.wire.rest_predict import Layout
from toolkit.wire.signatures import ServedSignature

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RestCalls:
    """What REST asks for, once its path is understood."""

    engine: Engine
    metrics: Metrics

    def answer(self, call: RestCall, body: bytes, timing: Timing) -> Answer:
        """What a call is answered with; never raises."""
        started_ns = time.perf_counter_ns()
        code = Code.OK
        try:
            answer = Answer(200, _CALLS[call.call](self.engine, call.target, body, timing))
        except ToolkitError as error:
            answer, code = rest.error_answer(error), CODE_OF_FAULT[error.fault]
        except Exception as error:  # one request must not end the server, and its client must learn the cause
            log.exception("%s %s", call.call.value, call.target.model)
            unexpected = ServingError(f"{type(error).__name__}: {error}", hint="see the log", fault=Fault.INTERNAL)
            answer, code = rest.error_answer(unexpected), Code.INTERNAL
        elapsed_ns = time.perf_counter_ns() - started_ns
        self.metrics.observe(Observation(call.target.model, API_NAMES[call.call], "REST", code, elapsed_ns), timing)
        return answer


def _predict(engine: Engine, target: Target, body: bytes, timing: Timing) -> bytes:
    with timing.phase("parse"):
        read = rest_predict.decode_predict_request(target, body)
    layouts: list[Layout] = []

    def bind(signatures: Mapping[str, ServedSignature]) -> PredictRequest:
        request, layout = read.bind(signatures)
        layouts.append(layout)
        return request

    response = engine.predict_with(read.target, bind, timing)
    with timing.phase("encode"):
        return rest_outputs.encode_predict_response(response.outputs, layouts[0])


def _classify(engine: Engine, target: Target, body: bytes, timing: Timing) -> bytes:
    with timing.phase("parse"):
        request = rest_examples.decode_examples_request(target, body)
    response = engine.classify(request, timing)
    with timing.phase("encode"):
        return rest_examples.encode_classify_response(response)


def _regress(engine: Engine, target: Target, body: bytes, timing: Timing) -> bytes:
    with timing.phase("parse"):
        request = rest_examples.decode_examples_request(target, body)
    response = engine.regress(request, timing)
    with timing.phase("encode"):
        return rest_examples.encode_regress_response(response)


def _status(engine: Engine, target: Target, _: bytes, __: Timing) -> bytes:
    return rest_models.encode_status_response(engine.status(target))


def _metadata(engine: Engine, target: Target, _: bytes, __: Timing) -> bytes:
    return rest_models.encode_metadata_response(*engine.metadata(MetadataRequest(target)))


_CALLS: Mapping[Call, Callable[[Engine, Target, bytes, Timing], bytes]] = {
    Call.PREDICT: _predict,
    Call.CLASSIFY: _classify,
    Call.REGRESS: _regress,
    Call.STATUS: _status,
    Call.METADATA: _metadata,
}
# As the same calls are named over gRPC.
API_NAMES = {
    Call.PREDICT: "Predict",
    Call.CLASSIFY: "Classify",
    Call.REGRESS: "Regress",
    Call.STATUS: "GetModelStatus",
    Call.METADATA: "GetModelMetadata",
}
RUNNING = frozenset({Call.PREDICT, Call.CLASSIFY, Call.REGRESS})
