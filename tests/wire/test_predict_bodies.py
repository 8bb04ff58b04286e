"""Bodies of :predict against signatures: what they mean, and the server's answer to each that means nothing."""

from typing import Any

import pytest

from toolkit.core.tensors import Signature, TensorSpec
from toolkit.errors import Fault, ServingError, WireError
from toolkit.wire import rest_predict
from toolkit.wire.messages import Target
from toolkit.wire.rest_predict import Layout
from toolkit.wire.signatures import ServedSignature, write_signature


def signature(**inputs: str) -> dict[str, ServedSignature]:
    """A model with one signature of these inputs and dtypes."""
    made = Signature({name: TensorSpec(dtype, None) for name, dtype in inputs.items()})
    return {"serving_default": write_signature("serving_default", made)}


FLOAT, INT, TEXT, TWO = (
    signature(x="float32"),
    signature(x="int32"),
    signature(x="string"),
    signature(a="float32", b="int32"),
)


def bound(served: dict[str, ServedSignature], body: str | bytes) -> tuple[dict[str, Any], Layout]:
    raw = body.encode() if isinstance(body, str) else body
    request, layout = rest_predict.decode_predict_request(Target("m"), raw).bind(served)
    return dict(request.feed), layout


@pytest.mark.parametrize(
    ("served", "body", "name", "shape", "values"),
    [
        (FLOAT, '{"instances": [1, 2.5]}', "x", (2,), [1.0, 2.5]),
        (FLOAT, '{"instances": [[1, 2], [3, 4]]}', "x", (2, 2), [[1, 2], [3, 4]]),
        (FLOAT, '{"instances": [{"x": [1]}, {"x": [2]}]}', "x", (2, 1), [[1], [2]]),
        (FLOAT, '{"instances": [[], []]}', "x", (2, 0), [[], []]),
        (FLOAT, '{"inputs": 3}', "x", (), 3.0),
        (FLOAT, '{"inputs": []}', "x", (0,), []),
        (FLOAT, '{"inputs": [[1], [2]]}', "x", (2, 1), [[1], [2]]),
        (FLOAT, '{"inputs": {"x": [1], "unknown": 5}}', "x", (1,), [1]),
        (FLOAT, '{"inputs": [1e39, -1e39, 1e-50]}', "x", (3,), [float("inf"), float("-inf"), 0.0]),
        (FLOAT, '{"inputs": [Infinity, -Infinity]}', "x", (2,), [float("inf"), float("-inf")]),
        (FLOAT, '{"inputs": [9007199254740993]}', "x", (1,), [9007199254740992.0]),
        (signature(x="float64"), '{"inputs": [18446744073709551615]}', "x", (1,), [18446744073709551616.0]),
        (signature(x="int8"), '{"inputs": [128, -129, 300]}', "x", (3,), [-128, 127, 44]),
        (signature(x="uint8"), '{"inputs": [-1, 256]}', "x", (2,), [255, 0]),
        (signature(x="uint64"), '{"inputs": [0, 18446744073709551615]}', "x", (2,), [0, 2**64 - 1]),
        (signature(x="bool"), '{"inputs": [true, false]}', "x", (2,), [True, False]),
        (TEXT, '{"instances": ["a", {"b64": "AP8="}]}', "x", (2,), [b"a", b"\0\xff"]),
        (TEXT, '{"instances": [{"b64": "YQ"}, "\\u00e9"]}', "x", (2,), [b"a", b"\xc3\xa9"]),
        (TEXT, '{"instances": [{"x": {"b64": " Y Q = = "}}]}', "x", (1,), [b"a"]),
        (TEXT, '{"inputs": {"b64": "YWJj"}}', "x", (), b"abc"),
        (TEXT, b'{"inputs": "\xff\\u0000"}', "x", (), b"\xff\0"),
        (signature(b64="int32"), '{"instances": [{"b64": 1}]}', "b64", (1,), [1]),
        (TWO, '{"instances": [{"a": 1, "b": 2}, {"b": 4, "a": 3}]}', "b", (2,), [2, 4]),
        (TWO, '{"inputs": {"b": [1], "a": [[1, 2]]}}', "a", (1, 2), [[1, 2]]),
        # A row's names are C strings in the server, those of columns are not.
        (FLOAT, '{"instances": [{"x\\u0000y": 1.5}, {"x": 2}]}', "x", (2,), [1.5, 2]),
        (FLOAT, '{"inputs": {"x": [1], "x\\u0000": [2]}}', "x", (1,), [1]),
        # Each of two members of one name adds its values; the shape counts them once.
        (TWO, '{"instances": [{"a": 1, "a": 2, "b": 3}, {"a": 4, "b": 5}]}', "a", (2,), [1, 2]),
        (FLOAT, '{"inputs": {"x": [1], "x": [2]}}', "x", (1,), [1]),
    ],
)
def test_a_body_means(served: Any, body: str, name: str, shape: tuple[int, ...], values: Any) -> None:
    feed, layout = bound(served, body)
    assert layout is (
        Layout.ROWS if b"instances" in (body.encode() if isinstance(body, str) else body) else Layout.COLUMNS
    )
    assert feed[name].dtype == served["serving_default"].as_signature().inputs[name].numpy_dtype
    assert (feed[name].shape, feed[name].tolist()) == (shape, values)


def in_row(where: str, problem: str) -> str:
    return f"Failed to process element: {where} of 'instances' list. Error: {problem}"


@pytest.mark.parametrize(
    ("served", "body", "message"),
    [
        (FLOAT, "{}", "Missing 'inputs' or 'instances' key"),
        (
            FLOAT,
            '{"inputs": 1, "instances": [1]}',
            'JSON Value: {\n    "inputs": 1,\n    "instances": [1]\n} Not formatted correctly expecting only one of '
            "'inputs' or 'instances' keys to exist ",
        ),
        (
            FLOAT,
            '{"instances": 1}',
            "JSON Value: {\n    \"instances\": 1\n} Expecting 'instances' to be an list/array",
        ),
        (FLOAT, '{"instances": []}', "JSON Value: {\n    \"instances\": []\n} No values in 'instances' array"),
        (
            FLOAT,
            '{"signature_name": null, "instances": [1]}',
            'JSON Value: {\n    "signature_name": null,\n    "instances": [1]\n} not formatted correctly. '
            "'signature_name' key must be a string value.",
        ),
        (FLOAT, '{"signature_name": "s", "inputs": 1}', 'Serving signature name: "s" not found in signature def'),
        (signature(), '{"inputs": {}}', "Failed to get input map for signature: DEFAULT"),
        (
            signature(),
            '{"signature_name": "serving_default"}',
            "Failed to get input map for signature: serving_default",
        ),
        (
            TWO,
            '{"instances": [1]}',
            "instances is a plain list, but expecting list of objects as multiple input tensors required as per "
            "tensorinfo_map",
        ),
        (
            TWO,
            '{"inputs": [1]}',
            "inputs is a plain value/list, but expecting an object as multiple input tensors required as per "
            "tensorinfo_map",
        ),
        (TWO, '{"inputs": {"a": 1}}', "Missing named input: b in 'inputs' object."),
        (FLOAT, '{"instances": [{"x": 1}, 2]}', "Expecting object but got list at item 1 of input list"),
        (FLOAT, '{"instances": [1, {"x": 2}]}', "Expecting value/list but got object at item 1 of input list"),
        (
            FLOAT,
            '{"instances": [{"x": 1, "y": 2}]}',
            in_row("0 key: y", "INVALID_ARGUMENT: JSON object: does not have named input: y"),
        ),
        (
            FLOAT,
            '{"instances": [{"y\\u0000z": 1}]}',
            in_row("0 key: y", "INVALID_ARGUMENT: JSON object: does not have named input: y"),
        ),
        (FLOAT, '{"inputs": {"x\\u0000": 1}}', "Missing named input: x in 'inputs' object."),
        (FLOAT, '{"x\\u0000": 1, "inputs\\u0000": 1}', "Missing 'inputs' or 'instances' key"),
        (FLOAT, f'{{"inputs": {"[" * 255}1{"]" * 255}}}', "tensor parsing error: x"),
        (FLOAT, f'{{"instances": {"[" * 255}1{"]" * 255}}}', "tensor parsing error: x"),
        (
            TWO,
            '{"instances": [{"a": 1, "b": 2}, {"b": 1}]}',
            "Failed to process element: 1 of 'instances' list. JSON object: {\n    \"b\": 1\n} "
            "keys must be equal to: a,b",
        ),
        (
            TWO,
            '{"instances": [{"a": 1, "b": 2}, {"a": [1], "b": 2}]}',
            in_row("1 key: a", "INVALID_ARGUMENT: Expecting shape [] but got: [1]"),
        ),
        (
            FLOAT,
            '{"instances": [[1], [1, 2]]}',
            in_row("1", "INVALID_ARGUMENT: Expecting tensor size: 1 but got: 2"),
        ),
        (FLOAT, '{"instances": [[1], 2]}', in_row("1", "INVALID_ARGUMENT: Expecting shape [1] but got: []")),
        (
            FLOAT,
            '{"instances": [true]}',
            in_row("0", "INVALID_ARGUMENT: JSON Value: true Type: True is not of expected type: float"),
        ),
        (
            FLOAT,
            '{"instances": [[1.0, false]]}',
            in_row("0", "INVALID_ARGUMENT: JSON Value: false Type: False is not of expected type: float"),
        ),
        (
            FLOAT,
            '{"instances": [{"b64": "YQ=="}]}',
            in_row(
                "0", 'INVALID_ARGUMENT: JSON Value: {\n    "b64": "YQ=="\n} Type: Object is not of expected type: float'
            ),
        ),
        (
            FLOAT,
            '{"instances": [[[1], 2]]}',
            in_row(
                "0",
                "INVALID_ARGUMENT: JSON Value: 2 found at incorrect level: 2 in the JSON DOM. Expected at level: 2",
            ),
        ),
        (
            FLOAT,
            '{"instances": [[1, [2]]]}',
            in_row("0", "INVALID_ARGUMENT: Encountered list at unexpected level: 1 expected < 1"),
        ),
        (
            FLOAT,
            '{"instances": [[[1], [2, 3]]]}',
            in_row("0", "INVALID_ARGUMENT: Encountered list at unexpected size: 2 at level: 1 expected size: 1"),
        ),
        (FLOAT, '{"inputs": [[1], [2, 3]]}', "Encountered list at unexpected size: 2 at level: 1 expected size: 1"),
        (FLOAT, '{"inputs": [null]}', "JSON Value: null Type: Null is not of expected type: float"),
        (INT, '{"inputs": 1.0}', "JSON Value: 1.0 Type: Number is not of expected type: int32"),
        (INT, '{"inputs": [1, 2147483648]}', "JSON Value: 2147483648 Type: Number is not of expected type: int32"),
        (INT, '{"inputs": "1"}', 'JSON Value: "1" Type: String is not of expected type: int32'),
        (
            signature(x="int64"),
            '{"inputs": [9223372036854775808]}',
            "JSON Value: 9223372036854775808 Type: Number is not of expected type: int64",
        ),
        (
            signature(x="uint32"),
            '{"inputs": [-1]}',
            "JSON Value: -1 Type: Number is not of expected type: uint32",
        ),
        (signature(x="bool"), '{"inputs": [true, 0]}', "JSON Value: 0 Type: Number is not of expected type: bool"),
        (TEXT, '{"inputs": 1}', "JSON Value: 1 Type: Number is not of expected type: string"),
        (
            TEXT,
            '{"inputs": {"x": {"b64": 1}}}',
            'JSON Value: {\n    "b64": 1\n} not formatted correctly for base64 data',
        ),
        *(
            (TEXT, f'{{"inputs": {{"b64": "{text}"}}}}', "Unable to base64 decode")
            for text in ("_-_-", "Y", "YQ=", "Y=Q=")
        ),
    ],
)
def test_a_body_is_refused(served: Any, body: str, message: str) -> None:
    with pytest.raises((WireError, ServingError)) as caught:
        bound(served, body)
    assert (caught.value.fault, caught.value.message) == (Fault.INVALID, message)


@pytest.mark.parametrize(
    ("dtype", "word"), [("float16", "half"), ("bfloat16", "bfloat16"), ("uint16", "uint16"), ("complex64", "complex64")]
)
def test_a_dtype_that_json_cannot_carry(dtype: str, word: str) -> None:
    served = signature(x=dtype)
    problem = f"Conversion of JSON Value: 1.5 to type: {word}"
    with pytest.raises(WireError) as caught:
        bound(served, '{"inputs": [1.5]}')
    assert (caught.value.fault, caught.value.message) == (Fault.UNIMPLEMENTED, problem)
    with pytest.raises(WireError) as caught:
        bound(served, '{"instances": [1.5]}')
    assert (caught.value.fault, caught.value.message) == (Fault.INVALID, in_row("0", f"UNIMPLEMENTED: {problem}"))
    feed, _ = bound(served, '{"inputs": []}')
    assert feed["x"].shape == (0,)
