"""Answers gRPC calls from the engine, bytes to bytes; knows no gRPC library, so that any transport can use it."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from toolkit.errors import Fault, ServingError, ToolkitError
from toolkit.serving.engine import Engine
from toolkit.serving.metrics import Metrics, Observation
from toolkit.serving.timing import Timing
from toolkit.wire import rpc, rpc_examples, rpc_models
from toolkit.wire.codes import Code
from toolkit.wire.fast_predict import PredictReader, PredictWriter
from toolkit.wire.messages import MultiRequest, PredictRequest
from toolkit.wire.rpc import RpcStatus

log = logging.getLogger(__name__)
# What a well-behaved client waits before it tries again (gRFC A6).
RETRY_HINT = (("grpc-retry-pushback-ms", "50"),)


@dataclass(frozen=True, slots=True)
class RpcAnswer:
    """What goes back: the body of a call that went well, or its status; and trailing metadata."""

    body: bytes
    status: RpcStatus | None
    metadata: tuple[tuple[str, str], ...]


class Answering(Protocol):
    """What a transport asks."""

    @property
    def reader(self) -> PredictReader:
        """Reads the usual Predict."""

    @property
    def metrics(self) -> Metrics:
        """Counts what is refused."""

    def knows(self, method: str) -> bool:
        """Whether there is such a method."""

    def answer(self, method: str, body: bytes, timing: Timing, request: PredictRequest | None = None) -> RpcAnswer:
        """What a call is answered with; never raises."""


@dataclass(slots=True)
class _Call:
    """One call while it is answered; the model is known once the request is read."""

    calls: "RpcCalls"
    engine: Engine
    body: bytes
    timing: Timing
    request: PredictRequest | None
    model: str = ""


@dataclass(frozen=True)
class RpcCalls:
    """The methods of PredictionService and ModelService.

    Args:
        content: answer Predict with tensor_content (--enable_serialization_as_tensor_content).
    """

    engine: Engine
    metrics: Metrics
    content: bool = False
    reader: PredictReader = field(default_factory=PredictReader)
    writer: PredictWriter = field(default_factory=PredictWriter)

    def answer(self, method: str, body: bytes, timing: Timing, request: PredictRequest | None = None) -> RpcAnswer:
        """What a call is answered with; never raises. A transport may have read the request already."""
        started_ns = time.perf_counter_ns()
        call = _Call(self, self.engine, body, timing, request)
        code = Code.OK
        try:
            found, status = _METHODS[method](call), None
        except ToolkitError as error:
            found, status = b"", rpc.status_of(error)
        except Exception as error:  # one request must not end the server, and its client must learn the cause
            log.exception("%s", method)
            unexpected = ServingError(f"{type(error).__name__}: {error}", hint="see the log", fault=Fault.INTERNAL)
            found, status = b"", rpc.status_of(unexpected)
        if status is not None:
            code = status.code
        elapsed_ns = time.perf_counter_ns() - started_ns
        self.metrics.observe(Observation(call.model, METHOD_NAMES[method], "GRPC", code, elapsed_ns), timing)
        hint = RETRY_HINT if code in (Code.RESOURCE_EXHAUSTED, Code.UNAVAILABLE) else ()
        return RpcAnswer(found, status, (*timing.as_metadata(), *hint))

    @staticmethod
    def knows(method: str) -> bool:
        """Whether this is one of the methods."""
        return method in _METHODS


def _predict(call: _Call) -> bytes:
    with call.timing.phase("parse"):
        request = call.request or call.calls.reader.read(call.body) or rpc.decode_predict_request(call.body)
    call.model = request.target.model
    response = call.engine.predict(request, call.timing)
    with call.timing.phase("encode"):
        if call.calls.content:
            return rpc.encode_predict_response(response, content=True)
        return call.calls.writer.write(response)


def _classify(call: _Call) -> bytes:
    with call.timing.phase("parse"):
        request = rpc_examples.decode_classify_request(call.body)
    call.model = request.target.model
    response = call.engine.classify(request, call.timing)
    with call.timing.phase("encode"):
        return rpc_examples.encode_classify_response(response)


def _regress(call: _Call) -> bytes:
    with call.timing.phase("parse"):
        request = rpc_examples.decode_regress_request(call.body)
    call.model = request.target.model
    response = call.engine.regress(request, call.timing)
    with call.timing.phase("encode"):
        return rpc_examples.encode_regress_response(response)


def _multi(call: _Call) -> bytes:
    with call.timing.phase("parse"):
        request: MultiRequest = rpc_examples.decode_multi_request(call.body)
    call.model = request.tasks[0].target.model if request.tasks else ""
    response = call.engine.multi_inference(request, call.timing)
    with call.timing.phase("encode"):
        return rpc_examples.encode_multi_response(response)


def _metadata(call: _Call) -> bytes:
    request = rpc_models.decode_metadata_request(call.body)
    call.model = request.target.model
    return rpc_models.encode_metadata_response(*call.engine.metadata(request))


def _status(call: _Call) -> bytes:
    target = rpc_models.decode_status_request(call.body)
    call.model = target.model
    return rpc_models.encode_status_response(call.engine.status(target))


def _reload(call: _Call) -> bytes:
    request = rpc_models.decode_reload_request(call.body)
    deadline_ns = call.timing.deadline_ns
    # A model may never come; a caller that is gone must not keep a thread.
    left_s = None if deadline_ns is None else max(0.0, (deadline_ns - time.perf_counter_ns()) / 1e9)
    call.engine.reload(request, left_s)
    return rpc_models.encode_reload_response(None, {})


_METHODS: Mapping[str, Callable[[_Call], bytes]] = {
    rpc.PREDICT: _predict,
    rpc.CLASSIFY: _classify,
    rpc.REGRESS: _regress,
    rpc.MULTI_INFERENCE: _multi,
    rpc.GET_MODEL_METADATA: _metadata,
    rpc.GET_MODEL_STATUS: _status,
    rpc.RELOAD_CONFIG: _reload,
}
METHOD_NAMES = {method: method.rpartition("/")[2] for method in _METHODS}
# Those that run a model, and so wait for a thread; the others are answered though all of these are taken.
RUNNING = frozenset({rpc.PREDICT, rpc.CLASSIFY, rpc.REGRESS, rpc.MULTI_INFERENCE})
