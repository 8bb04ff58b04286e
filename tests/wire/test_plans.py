"""Predict requests against signatures: each of the server's answers to one that does not fit."""

from typing import Any

import numpy as np
import pytest

from tests.wire.example_signatures import SIGNATURES
from toolkit.errors import Fault, ServingError
from toolkit.wire import plans, protos
from toolkit.wire.messages import PredictRequest, Target
from toolkit.wire.plans import Plan
from toolkit.wire.tensor_proto import TensorMap

FLOATS, INTS = np.zeros(2, np.float32), np.zeros(2, np.int32)


def predict(signature: str, feed: Any, *wanted: str, check: bool = False) -> Plan:
    return plans.plan_predict(
        SIGNATURES, PredictRequest(Target("m", signature=signature), feed, wanted), check_method=check
    )


def test_a_fitting_request_is_run_with_all_outputs() -> None:
    plan = predict("", {"b": INTS, "a": FLOATS})
    assert plan.signature.name == "serving_default"
    assert set(plan.feed) == {"a", "b"}
    assert plan.outputs == ("sum", "text")


def test_a_filter_keeps_its_order() -> None:
    assert predict("", {"a": FLOATS, "b": INTS}, "text", "sum").outputs == ("text", "sum")


def test_a_shape_is_not_looked_at() -> None:
    assert predict("", {"a": np.zeros((1, 2, 3), np.float32), "b": INTS}).feed["a"].shape == (1, 2, 3)


def test_a_default_stands_in_for_an_input() -> None:
    assert predict("defaults", {"a": FLOATS}).feed["b"].tolist() == [7, 7]
    assert predict("defaults", {"a": FLOATS, "b": FLOATS}).feed["b"].tolist() == [0, 0]


def unreadable() -> TensorMap:
    text = "inputs { key: 'a' value { dtype: DT_FLOAT_REF } } inputs { key: 'b' value { dtype: DT_INT32 int_val: 1 } }"
    return TensorMap(protos.parse_text(protos.PredictRequest, text).inputs)


@pytest.mark.parametrize(
    ("signature", "feed", "wanted", "fault", "message"),
    [
        ("nope", {}, (), Fault.PRECONDITION, 'Serving signature key "nope" not found.'),
        (
            "",
            {"a": FLOATS},
            (),
            Fault.INVALID,
            "input size does not match signature: 1!=2 len({a}) != len({a,b}). Sent extra: {}. "
            "Missing but required: {b}.",
        ),
        (
            "defaults",
            {"a": FLOATS, "b": FLOATS, "c": FLOATS},
            (),
            Fault.INVALID,
            "input size does not match signature: 3!=2 len({a,b,c}) != len({a,b}). Sent extra: {c}. "
            "Missing but required: {}.",
        ),
        (
            "",
            {"a": FLOATS, "x": INTS},
            (),
            Fault.INVALID,
            "Signature input alias: b(feed name: y:0) not found in request and no default value provided. "
            "Inputs expected to be in the request {a,x}, or default input alias set: ",
        ),
        (
            "defaults",
            {"b": FLOATS},
            (),
            Fault.INVALID,
            "Signature input alias: a(feed name: a:0) not found in request and no default value provided. "
            "Inputs expected to be in the request {b}, or default input alias set: b",
        ),
        (
            "defaults",
            {"a": FLOATS, "c": FLOATS},
            (),
            Fault.INVALID,
            "Inputs contains invalid name. Used request inputs: a, request input: a,c",
        ),
        ("", unreadable(), (), Fault.INVALID, "tensor parsing error: a"),
        (
            "",
            {"a": FLOATS, "b": INTS},
            ("sum", "nope"),
            Fault.INVALID,
            "output tensor alias not found in signature: nope Outputs expected to be in the set {sum,text}.",
        ),
        ("", {"a": FLOATS, "b": INTS}, ("sum", "sum"), Fault.INVALID, "duplicate output tensor alias: sum"),
        ("", {"a": INTS, "b": INTS}, (), Fault.INVALID, "Expects arg[1] to be float but int32 is provided"),
        ("", {"a": FLOATS, "b": FLOATS}, (), Fault.INVALID, "Expects arg[0] to be int32 but float is provided"),
        ("", {"a": INTS, "b": FLOATS}, (), Fault.INVALID, "Expects arg[0] to be int32 but float is provided"),
        # The first fault in the server's order of checks counts.
        ("nope", unreadable(), ("nope",), Fault.PRECONDITION, 'Serving signature key "nope" not found.'),
        ("", unreadable(), ("nope",), Fault.INVALID, "tensor parsing error: a"),
        (
            "",
            {"a": INTS, "b": INTS},
            ("nope",),
            Fault.INVALID,
            "output tensor alias not found in signature: nope Outputs expected to be in the set {sum,text}.",
        ),
    ],
)
def test_predict_refuses(signature: str, feed: Any, wanted: tuple[str, ...], fault: Fault, message: str) -> None:
    with pytest.raises(ServingError) as caught:
        predict(signature, feed, *wanted)
    assert (caught.value.fault, caught.value.message) == (fault, message)


def test_a_method_counts_only_when_it_is_checked() -> None:
    assert predict("other", {}).outputs == ()
    with pytest.raises(ServingError) as caught:
        predict("other", {}, check=True)
    assert caught.value.fault is Fault.INTERNAL
    assert caught.value.message == (
        "Expected prediction signature method_name to be one of {tensorflow/serving/predict, "
        "tensorflow/serving/classify, tensorflow/serving/regress}. Was: my/method"
    )
