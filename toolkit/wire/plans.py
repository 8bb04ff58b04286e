"""A request held against the signature it is for: the feed to run, the outputs to fetch, and what they mean.

The order of the checks is TensorFlow Serving's, since a request with two faults is answered for the first.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from toolkit.core.tensors import Array, Feed, Outputs
from toolkit.errors import WireError
from toolkit.wire import wording
from toolkit.wire.dtypes import BY_NAME, dtype_of
from toolkit.wire.messages import (
    ClassifyResponse,
    ExamplesRequest,
    MetadataRequest,
    MultiRequest,
    PredictRequest,
    RegressResponse,
    Target,
)
from toolkit.wire.signatures import CLASSIFY_METHOD, PREDICT_METHOD, REGRESS_METHOD, ServedSignature
from toolkit.wire.tensor_proto import decode_tensor

_INPUTS = "inputs"
_CLASSES = "classes"
_SCORES = "scores"
_OUTPUTS = "outputs"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run: a feed that fits the signature's names and dtypes, and the outputs to fetch.

    Shapes are left to the model, as the server leaves them: it answers a shape that is not the signature's if it can.
    """

    signature: ServedSignature
    feed: Feed
    outputs: tuple[str, ...]


def plan_predict(
    signatures: Mapping[str, ServedSignature], request: PredictRequest, *, check_method: bool = False
) -> Plan:
    """What Predict has to run.

    Raises:
        ServingError: the request does not fit; in the server's words.
    """
    name = request.target.signature_name
    if name not in signatures:
        raise wording.predict_signature_missing(name)
    signature = signatures[name]
    allowed = (PREDICT_METHOD, CLASSIFY_METHOD, REGRESS_METHOD)
    if check_method and signature.method not in allowed:
        raise wording.wrong_predict_method(allowed, signature.method)
    feed = _predict_feed(signature, request.feed)
    outputs = _filtered(signature, request.output_filter)
    _check_dtypes(signature, feed)
    _check_nodes(signature, outputs)
    return Plan(signature, feed, outputs)


def _predict_feed(signature: ServedSignature, sent: Feed) -> dict[str, Array]:
    wanted = signature.inputs
    if len(sent) > len(wanted) or (len(sent) < len(wanted) and not signature.defaults):
        raise wording.inputs_do_not_match(tuple(sent), tuple(wanted))
    feed: dict[str, Array] = {}
    used = []
    for alias, info in wanted.items():
        try:
            if alias in sent:
                feed[alias] = sent[alias]
                used.append(alias)
            elif alias in signature.defaults:
                feed[alias] = decode_tensor(signature.defaults[alias])
            else:
                raise wording.input_not_sent(alias, info.name, tuple(sent), tuple(signature.defaults))
        except WireError as error:
            raise wording.tensor_unreadable(alias, error.message) from error
    if len(used) != len(sent):
        raise wording.input_unknown(used, tuple(sent))
    return feed


def _filtered(signature: ServedSignature, output_filter: tuple[str, ...]) -> tuple[str, ...]:
    seen: set[str] = set()
    for alias in output_filter:
        if alias not in signature.outputs:
            raise wording.output_unknown(alias, tuple(signature.outputs))
        if alias in seen:
            raise wording.output_twice(alias)
        seen.add(alias)
    return output_filter or tuple(signature.outputs)


def _check_dtypes(signature: ServedSignature, feed: Feed) -> None:
    if all([dtype_of(array).number == signature.inputs[alias].number for alias, array in feed.items()]):  # noqa: C419
        return
    # TensorFlow sorts what is fed by the tensors' names in the graph, and counts its arguments so.
    ordered = sorted(feed, key=lambda alias: signature.inputs[alias].name)
    for index, alias in enumerate(ordered):
        info, given = signature.inputs[alias], dtype_of(feed[alias])
        if given.number != info.number:
            raise wording.wrong_dtype(index, info.word, given.word)


def _check_nodes(signature: ServedSignature, outputs: tuple[str, ...]) -> None:
    # TensorFlow keeps a model's initialisation op among its signatures; it can be run, but it gives no tensor.
    for alias in outputs:
        info = signature.outputs[alias]
        if not info.number:
            raise wording.node_without_output(info.name.partition(":")[0], "NoOp")


def plan_classify(
    signatures: Mapping[str, ServedSignature], request: ExamplesRequest, *, check_method: bool = False
) -> Plan:
    """What Classify has to run.

    Raises:
        ServingError: the request or the signature does not fit; in the server's words.
    """
    signature = _examples_signature(signatures, request.target)
    outputs = _classify_outputs(signature, check_method=check_method)
    return Plan(signature, _examples_feed(signature, request.examples), outputs)


def plan_regress(
    signatures: Mapping[str, ServedSignature], request: ExamplesRequest, *, check_method: bool = False
) -> Plan:
    """What Regress has to run.

    Raises:
        ServingError: the request or the signature does not fit; in the server's words.
    """
    signature = _examples_signature(signatures, request.target)
    outputs = _regress_outputs(signature, check_method=check_method)
    return Plan(signature, _examples_feed(signature, request.examples), outputs)


def plan_multi(
    signatures: Mapping[str, ServedSignature], request: MultiRequest, *, check_method: bool = False
) -> tuple[Plan, ...]:
    """What MultiInference has to run, a plan for each task; the servable is that of the first task.

    Raises:
        ServingError: a task or its signature does not fit; in the server's words.
    """
    checks = {CLASSIFY_METHOD: _classify_outputs, REGRESS_METHOD: _regress_outputs}
    chosen: dict[str, tuple[str, ...]] = {}
    for task in request.tasks:
        name = task.target.signature_name
        if not task.target.model:
            raise wording.task_without_name()
        if task.target.model != request.tasks[0].target.model:
            raise wording.tasks_of_two_models()
        if name in chosen:
            raise wording.task_twice(name)
        if name not in signatures:
            raise wording.task_signature_missing(name)
        if task.method not in checks:
            raise wording.unsupported_method(task.method)
        chosen[name] = checks[task.method](signatures[name], check_method=check_method)
    return tuple(
        Plan(signatures[name], _examples_feed(signatures[name], request.examples), outputs)
        for name, outputs in chosen.items()
    )


def check_metadata(request: MetadataRequest) -> None:
    """Refuses a metadata request for anything but the signatures; the server does so before it looks for the model.

    Raises:
        ServingError: in the server's words.
    """
    if not request.fields:
        raise wording.metadata_field_missing()
    for name in request.fields:
        if name != "signature_def":
            raise wording.metadata_field_unknown(name)


def _examples_signature(signatures: Mapping[str, ServedSignature], target: Target) -> ServedSignature:
    if target.signature_name not in signatures:
        raise wording.examples_signature_missing(target.signature_name)
    return signatures[target.signature_name]


def _classify_outputs(signature: ServedSignature, *, check_method: bool) -> tuple[str, ...]:
    if check_method and signature.method != CLASSIFY_METHOD:
        raise wording.wrong_method(CLASSIFY_METHOD, "classification", signature.method)
    if len(signature.inputs) != 1:
        raise wording.unusable_signature("Expected one input Tensor.")
    if len(signature.outputs) not in (1, 2):
        raise wording.unusable_signature(f"Expected one or two output Tensors, found {len(signature.outputs)}")
    _check_named(_INPUTS in signature.inputs, "No classification inputs found in SignatureDef: ", signature)
    found = tuple(name for name in (_CLASSES, _SCORES) if name in signature.outputs)
    _check_named(
        bool(found),
        'Expected classification signature outputs to contain at least one of "classes" or "scores". Signature was: ',
        signature,
    )
    return found


def _regress_outputs(signature: ServedSignature, *, check_method: bool) -> tuple[str, ...]:
    if check_method and signature.method != REGRESS_METHOD:
        raise wording.wrong_method(REGRESS_METHOD, "regression", signature.method)
    if len(signature.inputs) != 1:
        raise wording.unusable_signature("Expected one input Tensor.")
    if len(signature.outputs) != 1:
        raise wording.unusable_signature("Expected one output Tensor.")
    _check_named(_INPUTS in signature.inputs, "No regression inputs found in SignatureDef: ", signature)
    _check_named(_OUTPUTS in signature.outputs, "No regression outputs found in SignatureDef: ", signature)
    return (_OUTPUTS,)


def _check_named(found: bool, problem: str, signature: ServedSignature) -> None:
    if not found:
        raise wording.unusable_signature(problem, debug_text=signature.debug_text())


def _examples_feed(signature: ServedSignature, examples: tuple[bytes, ...]) -> dict[str, Array]:
    if not examples:
        raise wording.input_empty()
    array = np.empty(len(examples), object)
    array[:] = examples
    feed = {_INPUTS: array}
    _check_dtypes(signature, feed)
    return feed


def classification(plan: Plan, target: Target, outputs: Outputs) -> ClassifyResponse:
    """The answer of Classify in what its plan gave.

    Raises:
        ServingError: the outputs are no classification; in the server's words.
    """
    count = len(plan.feed[_INPUTS])
    labels, scores = outputs.get(_CLASSES), outputs.get(_SCORES)
    infos = plan.signature.outputs
    if labels is not None and scores is not None and infos[_CLASSES].name == infos[_SCORES].name:
        # One tensor under both names is found as the classes, and never as the scores.
        scores = None
    for name, array, wanted in ((_CLASSES, labels, "string"), (_SCORES, scores, "float32")):
        if array is not None:
            _check_class_output(name, array, wanted, count)
    if labels is not None and scores is not None and labels.shape[1] != scores.shape[1]:
        raise wording.unusable_output(
            f"Tensors class and score should match in dim_size(1). Got {labels.shape[1]} vs. {scores.shape[1]}"
        )
    return ClassifyResponse(target, labels, scores)


def _check_class_output(name: str, array: Array, wanted: str, count: int) -> None:
    if array.ndim != 2:
        raise wording.unusable_output(f"Expected Tensor shape: [batch_size num_classes] but got {_shape_text(array)}")
    if dtype_of(array).name != wanted:
        raise wording.unusable_output(
            f"Expected {name} Tensor of {BY_NAME[wanted].enumerator}. Got: {dtype_of(array).enumerator}"
        )
    if len(array) != count:
        raise wording.unusable_output(f"Expected {name} output batch size of {count}. Got: {len(array)}")


def regression(plan: Plan, target: Target, outputs: Outputs) -> RegressResponse:
    """The answer of Regress in what its plan gave.

    Raises:
        ServingError: the output is no regression; in the server's words.
    """
    count, values = len(plan.feed[_INPUTS]), outputs[_OUTPUTS]
    if not (values.ndim == 1 or (values.ndim == 2 and values.shape[1] == 1)):
        raise wording.unusable_output(
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got " + _shape_text(values)
        )
    if len(values) != count:
        raise wording.unusable_output(f"Input batch size did not match output batch size: {count} vs. {len(values)}")
    if dtype_of(values).name != "float32":
        raise wording.unusable_output(f"Expected output Tensor of DT_FLOAT.  Got: {dtype_of(values).enumerator}")
    return RegressResponse(target, values.reshape(count))


def _shape_text(array: Array) -> str:
    return f"[{','.join(map(str, array.shape))}]"
