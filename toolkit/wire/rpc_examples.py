"""gRPC: Classify, Regress and MultiInference between bytes and messages, and the records a model warms up with."""

from typing import Any

import numpy as np

from toolkit.core.tensors import Array
from toolkit.errors import WireError
from toolkit.wire import protos, wording
from toolkit.wire.messages import (
    ClassifyResponse,
    ExamplesRequest,
    MultiRequest,
    MultiResponse,
    PredictRequest,
    RegressResponse,
    Target,
    Task,
)
from toolkit.wire.protos import Message, parse, serialize
from toolkit.wire.rpc import fill_spec, parse_request, request_target, target_of
from toolkit.wire.tensor_proto import TensorMap


def decode_classify_request(body: bytes) -> ExamplesRequest:
    """What a server reads in a call of Classify.

    Raises:
        WireError: the bytes are no request, or name no model.
    """
    return _read_examples(parse_request(protos.ClassificationRequest, body))


def decode_regress_request(body: bytes) -> ExamplesRequest:
    """What a server reads in a call of Regress.

    Raises:
        WireError: the bytes are no request, or name no model.
    """
    return _read_examples(parse_request(protos.RegressionRequest, body))


def _read_examples(proto: Message) -> ExamplesRequest:
    return ExamplesRequest(request_target(proto), _examples(proto.input))


def _examples(given: Message) -> tuple[bytes, ...]:
    if given.WhichOneof("kind") == "example_list_with_context":
        listed = given.example_list_with_context
        # Two messages one after the other are the two merged, the second one's features winning.
        context = serialize(listed.context)
        return tuple(context + serialize(example) for example in listed.examples)
    return tuple(serialize(example) for example in given.example_list.examples)


def encode_classify_request(request: ExamplesRequest) -> bytes:
    """What a client sends to Classify."""
    return _write_examples(protos.ClassificationRequest(), request)


def encode_regress_request(request: ExamplesRequest) -> bytes:
    """What a client sends to Regress."""
    return _write_examples(protos.RegressionRequest(), request)


def _write_examples(proto: Message, request: ExamplesRequest) -> bytes:
    fill_spec(proto.model_spec, request.target)
    _fill_input(proto.input, request.examples)
    return serialize(proto)


def _fill_input(given: Message, examples: tuple[bytes, ...]) -> None:
    given.example_list.SetInParent()
    given.example_list.examples.extend(parse(protos.Example, example) for example in examples)


def encode_classify_response(response: ClassifyResponse) -> bytes:
    """What a server answers to Classify."""
    proto = protos.ClassificationResponse()
    fill_spec(proto.model_spec, response.target)
    _fill_classification(proto.result, response)
    return serialize(proto)


def _fill_classification(result: Message, response: ClassifyResponse) -> None:
    labels = None if response.labels is None else response.labels.tolist()
    scores = None if response.scores is None else response.scores.tolist()
    for row in range(len(labels if labels is not None else scores or ())):
        classes = result.classifications.add().classes
        for column in range(len((labels if labels is not None else scores or ())[row])):
            one = classes.add()
            if labels is not None:
                # The field holds text; a label that is none would make the whole answer unreadable.
                one.label = labels[row][column].decode("utf-8", "replace")
            if scores is not None:
                one.score = scores[row][column]


def decode_classify_response(body: bytes) -> ClassifyResponse:
    """What a client reads in the answer of Classify.

    Raises:
        WireError: the bytes are no answer.
    """
    proto = parse(protos.ClassificationResponse, body)
    return _read_classification(target_of(proto.model_spec), proto.result)


def _read_classification(target: Target, result: Message) -> ClassifyResponse:
    rows = [one.classes for one in result.classifications]
    width = len(rows[0]) if rows else 0
    if any(len(row) != width for row in rows):
        raise WireError("the answer's rows have different numbers of classes", hint="check what the peer speaks")
    labels = np.empty((len(rows), width), object)
    scores = np.empty((len(rows), width), np.float32)
    for index, row in enumerate(rows):
        labels[index] = [one.label.encode() for one in row]
        scores[index] = [one.score for one in row]
    return ClassifyResponse(target, labels, scores)


def encode_regress_response(response: RegressResponse) -> bytes:
    """What a server answers to Regress."""
    proto = protos.RegressionResponse()
    fill_spec(proto.model_spec, response.target)
    _fill_regression(proto.result, response.values)
    return serialize(proto)


def _fill_regression(result: Message, values: Array) -> None:
    result.SetInParent()
    for value in values.tolist():
        result.regressions.add().value = value


def decode_regress_response(body: bytes) -> RegressResponse:
    """What a client reads in the answer of Regress.

    Raises:
        WireError: the bytes are no answer.
    """
    proto = parse(protos.RegressionResponse, body)
    return _read_regression(target_of(proto.model_spec), proto.result)


def _read_regression(target: Target, result: Message) -> RegressResponse:
    return RegressResponse(target, np.array([one.value for one in result.regressions], np.float32))


def decode_multi_request(body: bytes) -> MultiRequest:
    """What a server reads in a call of MultiInference.

    Raises:
        WireError: the bytes are no request.
    """
    return _read_multi(parse_request(protos.MultiInferenceRequest, body))


def _read_multi(proto: Message) -> MultiRequest:
    tasks = tuple(Task(target_of(task.model_spec), task.method_name) for task in proto.tasks)
    return MultiRequest(tasks, _examples(proto.input))


def multi_target(request: MultiRequest) -> Target:
    """Whose servable answers all tasks: the first one's, whatever version the others name.

    Raises:
        ServingError: no task names a model; in the server's words.
    """
    if not request.tasks or not request.tasks[0].target.model:
        raise wording.missing_name()
    return request.tasks[0].target


def encode_multi_request(request: MultiRequest) -> bytes:
    """What a client sends to MultiInference."""
    proto = protos.MultiInferenceRequest()
    for task in request.tasks:
        added = proto.tasks.add(method_name=task.method)
        fill_spec(added.model_spec, task.target)
    _fill_input(proto.input, request.examples)
    return serialize(proto)


def encode_multi_response(response: MultiResponse) -> bytes:
    """What a server answers to MultiInference."""
    proto = protos.MultiInferenceResponse()
    for result in response.results:
        added = proto.results.add()
        fill_spec(added.model_spec, result.target)
        if isinstance(result, ClassifyResponse):
            added.classification_result.SetInParent()
            _fill_classification(added.classification_result, result)
        else:
            _fill_regression(added.regression_result, result.values)
    return serialize(proto)


def decode_multi_response(body: bytes) -> MultiResponse:
    """What a client reads in the answer of MultiInference.

    Raises:
        WireError: the bytes are no answer.
    """
    return MultiResponse(tuple(_read_result(result) for result in parse(protos.MultiInferenceResponse, body).results))


def _read_result(result: Message) -> ClassifyResponse | RegressResponse:
    target = target_of(result.model_spec)
    if result.WhichOneof("result") == "regression_result":
        return _read_regression(target, result.regression_result)
    return _read_classification(target, result.classification_result)


WarmupRequest = PredictRequest | ExamplesRequest | MultiRequest


def decode_warmup_record(record: bytes) -> tuple[str, WarmupRequest | None]:
    """The kind of a PredictionLog and its request; None for a kind that needs no warm-up.

    Raises:
        WireError: the record is no PredictionLog.
    """
    log = parse(protos.PredictionLog, record)
    kind = log.WhichOneof("log_type") or ""
    readers: dict[str, Any] = {
        "predict_log": _read_warm_predict,
        "classify_log": _read_examples,
        "regress_log": _read_examples,
        "multi_inference_log": _read_multi,
    }
    return kind, readers[kind](getattr(log, kind).request) if kind in readers else None


def _read_warm_predict(proto: Message) -> PredictRequest:
    return PredictRequest(target_of(proto.model_spec), TensorMap(proto.inputs), tuple(proto.output_filter))
