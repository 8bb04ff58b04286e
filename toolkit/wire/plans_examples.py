"""Classify, Regress and MultiInference held against their signatures: what to run on examples, and what came of it.

The order of the checks is TensorFlow Serving's, since a request with two faults is answered for the first.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from toolkit.core.tensors import Array, Outputs
from toolkit.wire import wording
from toolkit.wire.dtypes import BY_NAME, dtype_of
from toolkit.wire.messages import (
    ClassifyResponse,
    ExamplesRequest,
    MultiRequest,
    MultiResponse,
    RegressResponse,
    Target,
)
from toolkit.wire.plans import Check, Plan, check_dtypes, no_check
from toolkit.wire.signatures import CLASSIFY_METHOD, REGRESS_METHOD, ServedSignature

_INPUTS = "inputs"
_CLASSES = "classes"
_SCORES = "scores"
_OUTPUTS = "outputs"
# A signature, and whether its method must be the right one, to the outputs that are asked for.
OutputsOf = Callable[[ServedSignature, bool], tuple[str, ...]]


def plan_examples(
    signatures: Mapping[str, ServedSignature],
    request: ExamplesRequest,
    *,
    outputs_of: OutputsOf,
    check_method: bool = False,
    check: Check = no_check,
) -> Plan:
    """What Classify or Regress has to run, each by its own rule for the outputs of a signature.

    Raises:
        ServingError: the request or the signature does not fit; in the server's words.
    """
    name = request.target.signature_name
    if name not in signatures:
        raise wording.examples_signature_missing(name)
    outputs = outputs_of(signatures[name], check_method)
    plan = Plan(signatures[name], _examples_feed(request.examples), outputs)
    check(plan)
    check_dtypes(plan)
    return plan


def plan_multi(
    signatures: Mapping[str, ServedSignature], request: MultiRequest, *, check_method: bool = False
) -> tuple[Plan, ...]:
    """What MultiInference has to run, a plan for each task; the servable is that of the first task.

    The server runs all of them as one call that feeds the examples to the inputs of all tasks, so it is that call whose
    dtypes are checked.

    Raises:
        ServingError: a task or its signature does not fit; in the server's words.
    """
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
        if task.method not in _OUTPUTS_OF:
            raise wording.unsupported_method(task.method)
        chosen[name] = _OUTPUTS_OF[task.method](signatures[name], check_method)
    feed = _examples_feed(request.examples)
    found = tuple(Plan(signatures[name], feed, outputs) for name, outputs in chosen.items())
    check_dtypes(*found)
    return found


def _classify_outputs(signature: ServedSignature, check_method: bool) -> tuple[str, ...]:
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


def _regress_outputs(signature: ServedSignature, check_method: bool) -> tuple[str, ...]:
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


def _examples_feed(examples: tuple[bytes, ...]) -> dict[str, Array]:
    if not examples:
        raise wording.input_empty()
    array = np.empty(len(examples), object)
    array[:] = examples
    return {_INPUTS: array}


plan_classify = partial(plan_examples, outputs_of=_classify_outputs)
plan_regress = partial(plan_examples, outputs_of=_regress_outputs)
_OUTPUTS_OF: Mapping[str, OutputsOf] = {CLASSIFY_METHOD: _classify_outputs, REGRESS_METHOD: _regress_outputs}


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


def multi_answer(
    request: MultiRequest, plans: Sequence[Plan], version: int, outputs: Sequence[Outputs]
) -> MultiResponse:
    """The answer of MultiInference in what the plans of its tasks gave.

    Raises:
        ServingError: one of them is no classification or regression; in the server's words.
    """
    results: list[ClassifyResponse | RegressResponse] = []
    for task, plan, found in zip(request.tasks, plans, outputs, strict=True):
        interpret = classification if task.method == CLASSIFY_METHOD else regression
        results.append(interpret(plan, task.target.answered_by(version), found))
    return MultiResponse(tuple(results))


def _shape_text(array: Array) -> str:
    return f"[{','.join(map(str, array.shape))}]"
