"""The methods of PredictionService and ModelService but Predict: a request's bytes to an answer's."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from toolkit.serving.callers import Caller
from toolkit.serving.engine import Engine
from toolkit.serving.metrics import Metrics
from toolkit.serving.timing import Timing
from toolkit.wire import rpc, rpc_examples, rpc_models
from toolkit.wire.messages import MultiRequest


@dataclass(slots=True)
class MethodCall:
    """One call while it is answered; the model is known once the request is read.

    Args:
        caller: who asks, where a transport knows when that one goes.
    """

    engine: Engine
    metrics: Metrics
    body: bytes
    timing: Timing
    caller: Caller | None = None
    model: str = ""


def _run(
    call: MethodCall,
    decode: Callable[[bytes], Any],
    run: Callable[[Any, Timing], Any],
    encode: Callable[[Any], bytes],
    model_of: Callable[[Any], str] = lambda request: str(request.target.model),
) -> bytes:
    """Answers a method that runs a model, each phase timed."""
    with call.timing.phase("parse"):
        request = decode(call.body)
    call.model = model_of(request)
    response = run(request, call.timing)
    with call.timing.phase("encode"):
        return encode(response)


def _classify(call: MethodCall) -> bytes:
    return _run(call, rpc_examples.decode_classify_request, call.engine.classify, rpc_examples.encode_classify_response)


def _regress(call: MethodCall) -> bytes:
    return _run(call, rpc_examples.decode_regress_request, call.engine.regress, rpc_examples.encode_regress_response)


def _multi(call: MethodCall) -> bytes:
    def first(request: MultiRequest) -> str:
        return request.tasks[0].target.model if request.tasks else ""

    engine = call.engine
    return _run(
        call, rpc_examples.decode_multi_request, engine.multi_inference, rpc_examples.encode_multi_response, first
    )


def _metadata(call: MethodCall) -> bytes:
    request = rpc_models.decode_metadata_request(call.body)
    call.model = request.target.model
    return rpc_models.encode_metadata_response(*call.engine.metadata(request))


def _status(call: MethodCall) -> bytes:
    target = rpc_models.decode_status_request(call.body)
    call.model = target.model
    return rpc_models.encode_status_response(call.engine.status(target))


def _reload(call: MethodCall) -> bytes:
    request = rpc_models.decode_reload_request(call.body)
    deadline_ns = call.timing.deadline_ns
    # A model may never come; a caller that is gone must not keep a thread.
    left_s = None if deadline_ns is None else max(0.0, (deadline_ns - time.perf_counter_ns()) / 1e9)
    before = call.metrics.counted(request.metrics)
    call.engine.reload(request, left_s, call.caller)
    after = call.metrics.counted(request.metrics)
    return rpc_models.encode_reload_response(None, {name: count - before[name] for name, count in after.items()})


METHODS: Mapping[str, Callable[[MethodCall], bytes]] = {
    rpc.CLASSIFY: _classify,
    rpc.REGRESS: _regress,
    rpc.MULTI_INFERENCE: _multi,
    rpc.GET_MODEL_METADATA: _metadata,
    rpc.GET_MODEL_STATUS: _status,
    rpc.RELOAD_CONFIG: _reload,
}
METHOD_NAMES = {method: method.rpartition("/")[2] for method in (rpc.PREDICT, *METHODS)}
# Those that run a model, and so wait for a thread; the others are answered though all of these are taken.
RUNNING = frozenset({rpc.PREDICT, rpc.CLASSIFY, rpc.REGRESS, rpc.MULTI_INFERENCE})
