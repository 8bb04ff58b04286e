"""Examples and tasks against signatures: each of the server's answers to those that do not fit."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.wire.example_signatures import SIGNATURES
from toolkit.errors import Fault, ServingError
from toolkit.wire import plans, plans_examples, protos
from toolkit.wire.messages import ExamplesRequest, MetadataRequest, MultiRequest, Target, Task
from toolkit.wire.plans import Plan
from toolkit.wire.signatures import CLASSIFY_METHOD, REGRESS_METHOD, TensorInfo

FLOATS_LATER = TensorInfo("f:0", 1, None)


def classify(signature: str, *examples: bytes, check: bool = False) -> Plan:
    request = ExamplesRequest(Target("m", signature=signature), examples)
    return plans_examples.plan_classify(SIGNATURES, request, check_method=check)


def regress(signature: str, *examples: bytes, check: bool = False) -> Plan:
    request = ExamplesRequest(Target("m", signature=signature), examples)
    return plans_examples.plan_regress(SIGNATURES, request, check_method=check)


def test_examples_become_the_feed() -> None:
    plan = classify("classify", b"one", b"two", check=True)
    assert plan.feed["inputs"].tolist() == [b"one", b"two"]
    assert plan.outputs == ("classes", "scores")
    assert regress("regress", b"one", check=True).outputs == ("outputs",)


@pytest.mark.parametrize(
    ("make", "signature", "check", "message"),
    [
        (classify, "nope", False, "No signature was found with the name: nope"),
        (regress, "nope", False, "No signature was found with the name: nope"),
        (classify, "serving_default", False, "Expected one input Tensor."),
        (regress, "serving_default", False, "Expected one input Tensor."),
        (classify, "three_outputs", False, "Expected one or two output Tensors, found 3"),
        (regress, "classify", False, "Expected one output Tensor."),
        (
            classify,
            "regress",
            True,
            "Expected classification signature method_name to be tensorflow/serving/classify. "
            "Was: tensorflow/serving/regress",
        ),
        (
            regress,
            "classify",
            True,
            "Expected regression signature method_name to be tensorflow/serving/regress. "
            "Was: tensorflow/serving/classify",
        ),
        (classify, "floats", False, "Expects arg[0] to be float but string is provided"),
    ],
)
def test_examples_are_refused(make: Any, signature: str, check: bool, message: str) -> None:
    with pytest.raises(ServingError) as caught:
        make(signature, b"example", check=check)
    assert (caught.value.fault, caught.value.message) == (Fault.INVALID, message)


@pytest.mark.parametrize(
    ("make", "signature", "start"),
    [
        (classify, "regress", 'Expected classification signature outputs to contain at least one of "classes" or "sc'),
        (regress, "regress_other", "No regression outputs found in SignatureDef: "),
    ],
)
def test_a_signature_is_shown_where_it_is_at_fault(make: Any, signature: str, start: str) -> None:
    with pytest.raises(ServingError) as caught:
        make(signature, b"example")
    assert caught.value.message.startswith(start)
    assert protos.text_of(SIGNATURES[signature].proto) in caught.value.message


@pytest.mark.parametrize(("make", "signature"), [(classify, "classify"), (regress, "regress"), (classify, "floats")])
def test_no_examples_are_refused(make: Any, signature: str) -> None:
    with pytest.raises(ServingError, match=r"^Input is empty\.$"):
        make(signature)


LABELS = np.array([[b"a", b"b"]], object)
SCORES = np.array([[0.5, 1.5]], np.float32)


def test_a_classification_may_have_labels_scores_or_both() -> None:
    plan = classify("classify", b"example")
    for outputs in ({"classes": LABELS}, {"scores": SCORES}, {"classes": LABELS, "scores": SCORES}):
        found = plans_examples.classification(plan, Target("m"), outputs)
        assert (found.labels is not None, found.scores is not None) == ("classes" in outputs, "scores" in outputs)


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({"classes": LABELS[0]}, "Expected Tensor shape: [batch_size num_classes] but got [2]"),
        ({"scores": np.float32(1).reshape(())}, "Expected Tensor shape: [batch_size num_classes] but got []"),
        ({"classes": SCORES}, "Expected classes Tensor of DT_STRING. Got: DT_FLOAT"),
        ({"scores": SCORES.astype(np.float64)}, "Expected scores Tensor of DT_FLOAT. Got: DT_DOUBLE"),
        ({"classes": LABELS.reshape(2, 1)}, "Expected classes output batch size of 1. Got: 2"),
        ({"scores": SCORES.reshape(2, 1)}, "Expected scores output batch size of 1. Got: 2"),
        (
            {"classes": LABELS, "scores": SCORES[:, :1]},
            "Tensors class and score should match in dim_size(1). Got 2 vs. 1",
        ),
    ],
)
def test_what_is_no_classification_is_refused(outputs: Any, message: str) -> None:
    with pytest.raises(ServingError) as caught:
        plans_examples.classification(classify("classify", b"example"), Target("m"), outputs)
    assert (caught.value.fault, caught.value.message) == (Fault.INVALID, message)


def test_one_tensor_under_both_names_is_the_classes() -> None:
    with pytest.raises(ServingError, match=r"^Expected classes Tensor of DT_STRING\. Got: DT_FLOAT$"):
        plans_examples.classification(classify("twins", b"example"), Target("m"), {"classes": SCORES, "scores": SCORES})


@pytest.mark.parametrize("shape", [(2,), (2, 1)])
def test_a_regression_has_a_value_for_each_example(shape: tuple[int, ...]) -> None:
    outputs = {"outputs": np.array([1, 2], np.float32).reshape(shape)}
    assert plans_examples.regression(regress("regress", b"1", b"2"), Target("m"), outputs).values.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            np.zeros((1, 3), np.float32),
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got [1,3]",
        ),
        (
            np.zeros((), np.float32),
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got []",
        ),
        (np.zeros(3, np.float32), "Input batch size did not match output batch size: 1 vs. 3"),
        (np.zeros(1, np.float64), "Expected output Tensor of DT_FLOAT.  Got: DT_DOUBLE"),
        (LABELS[:, :1], "Expected output Tensor of DT_FLOAT.  Got: DT_STRING"),
    ],
)
def test_what_is_no_regression_is_refused(values: Any, message: str) -> None:
    with pytest.raises(ServingError) as caught:
        plans_examples.regression(regress("regress", b"example"), Target("m"), {"outputs": values})
    assert (caught.value.fault, caught.value.message) == (Fault.INVALID, message)


def task(signature: str, method: str, model: str = "m") -> Task:
    return Task(Target(model, signature=signature), method)


def test_several_signatures_are_planned_in_order() -> None:
    tasks = (task("regress", REGRESS_METHOD), task("classify", CLASSIFY_METHOD))
    found = plans_examples.plan_multi(SIGNATURES, MultiRequest(tasks, (b"example",)))
    assert [(plan.signature.name, plan.outputs) for plan in found] == [
        ("regress", ("outputs",)),
        ("classify", ("classes", "scores")),
    ]


def test_several_signatures_are_one_call_whose_arguments_are_counted_by_tensor() -> None:
    # Inputs f:0 and e:0, of which the first task's is the second in order.
    odd = {"floats_later": replace(SIGNATURES["regress"], name="floats_later", inputs={"inputs": FLOATS_LATER})}
    tasks = (task("floats_later", REGRESS_METHOD), task("regress", REGRESS_METHOD))
    with pytest.raises(ServingError) as caught:
        plans_examples.plan_multi({**SIGNATURES, **odd}, MultiRequest(tasks, (b"example",)))
    assert caught.value.message == "Expects arg[1] to be float but string is provided"


@pytest.mark.parametrize(
    ("tasks", "fault", "message"),
    [
        ([task("regress", "foo")], Fault.UNIMPLEMENTED, "Unsupported signature method_name: foo"),
        ([task("nope", "foo")], Fault.INVALID, "Requested signature not found in model graph: nope"),
        (
            [task("regress", REGRESS_METHOD), task("regress", REGRESS_METHOD)],
            Fault.INVALID,
            "Duplicate evaluation of signature: regress",
        ),
        (
            [task("regress", REGRESS_METHOD), task("classify", CLASSIFY_METHOD, "")],
            Fault.INVALID,
            "Found ModelSpec with an empty model name.",
        ),
        (
            [task("regress", REGRESS_METHOD), task("classify", CLASSIFY_METHOD, "n")],
            Fault.INVALID,
            "All ModelSpecs in a MultiInferenceRequest must access the same model name.",
        ),
        ([task("classify", REGRESS_METHOD)], Fault.INVALID, "Expected one output Tensor."),
    ],
)
def test_several_signatures_are_refused(tasks: list[Task], fault: Fault, message: str) -> None:
    with pytest.raises(ServingError) as caught:
        plans_examples.plan_multi(SIGNATURES, MultiRequest(tuple(tasks), (b"example",)))
    assert (caught.value.fault, caught.value.message) == (fault, message)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ((), "GetModelMetadataRequest must specify at least one metadata_field"),
        (("signature_def", "x"), "Metadata field x is not supported"),
    ],
)
def test_metadata_is_refused_for_anything_but_signatures(fields: tuple[str, ...], message: str) -> None:
    plans.check_metadata(MetadataRequest(Target("m")))
    with pytest.raises(ServingError) as caught:
        plans.check_metadata(MetadataRequest(Target("m"), fields))
    assert (caught.value.fault, caught.value.message) == (Fault.INVALID, message)
