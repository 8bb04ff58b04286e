"""Bodies of :classify and :regress: what they mean, and the server's answer to each that means nothing."""

from typing import Any

import numpy as np
import pytest

from toolkit.errors import Fault, WireError
from toolkit.wire import protos, rest_examples
from toolkit.wire.messages import ClassifyResponse, RegressResponse, Target


def examples(body: str) -> list[str]:
    """The examples of a body in protobuf's text, on one line each."""
    read = rest_examples.decode_examples_request(Target("m"), body.encode("utf-8", "surrogateescape"))
    return [" ".join(protos.text_of(protos.parse(protos.Example, example)).split()) for example in read.examples]


def feature(name: str, kind: str, *values: str) -> str:
    listed = f"{kind}_list {{ {' '.join(f'value: {value}' for value in values)} }}"
    return f'feature {{ key: "{name}" value {{ {listed} }} }}'


@pytest.mark.parametrize(
    ("example", "features"),
    [
        ('{"x": 1}', feature("x", "int64", "1")),
        ('{"x": [1, true, false]}', feature("x", "int64", "1", "1", "0")),
        ('{"x": 1.5}', feature("x", "float", "1.5")),
        ('{"x": [1.0, 1e39]}', feature("x", "float", "1.0", "inf")),
        ('{"x": 99999999999999999999}', feature("x", "float", "1e+20")),
        ('{"x": ["a", {"b64": "AP8="}]}', feature("x", "bytes", '"a"', '"\\000\\377"')),
        ('{"x": "\udcff"}', feature("x", "bytes", '"\\377"')),
        ('{"x": []}', 'feature { key: "x" value { } }'),
        ('{"x": 1, "x": 2.5}', feature("x", "float", "2.5")),
        ('{"b": 1, "a": 2}', f"{feature('a', 'int64', '2')} {feature('b', 'int64', '1')}"),
    ],
)
def test_an_example_means(example: str, features: str) -> None:
    assert examples(f'{{"examples": [{example}]}}') == [f"features {{ {features} }}"]


def test_an_empty_example_is_one() -> None:
    assert examples('{"examples": [{}, {"x": 1}]}') == ["", f"features {{ {feature('x', 'int64', '1')} }}"]


def test_a_features_name_ends_at_a_nul() -> None:
    assert examples('{"examples": [{"x\\u0000y": 1}]}') == [f"features {{ {feature('x', 'int64', '1')} }}"]


def test_a_context_stands_in_every_example_and_gives_way_to_it() -> None:
    body = '{"context": {"a": 1, "b": 2}, "examples": [{"b": 3}, {}]}'
    one, two = (
        (feature("a", "int64", "1"), feature("b", "int64", "3")),
        (feature("a", "int64", "1"), feature("b", "int64", "2")),
    )
    assert examples(body) == [f"features {{ {' '.join(one)} }}", f"features {{ {' '.join(two)} }}"]


def test_the_signature_is_the_bodys() -> None:
    read = rest_examples.decode_examples_request(Target("m", 3), b'{"signature_name": "s", "examples": [{}]}')
    assert read.target == Target("m", 3, signature="s")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("[]", "JSON Value: [] Is not object"),
        (
            '{"a": 1}',
            "JSON Value: {\n    \"a\": 1\n} When method is classify, key 'examples' is expected and was not found",
        ),
        ('{"examples": 1}', "JSON Value: {\n    \"examples\": 1\n} Expecting 'examples' value to be an list/array"),
        ('{"examples": []}', "JSON Value: {\n    \"examples\": []\n} 'examples' value is an empty array"),
        ('{"examples": [1]}', "Example must be JSON object but got JSON Number"),
        ('{"examples": [[]]}', "Example must be JSON object but got JSON Array"),
        ('{"examples": [null]}', "Example must be JSON object but got JSON Null"),
        ('{"context": "a", "examples": [{}]}', "Example must be JSON object but got JSON String"),
        ('{"context": true, "examples": [{}]}', "Example must be JSON object but got JSON True"),
        ('{"examples": [{"x\\u0000y": null}]}', "Feature: x has element with unexpected JSON type: Null"),
        ('{"examples": [{"x": null}]}', "Feature: x has element with unexpected JSON type: Null"),
        ('{"examples": [{"x": [[1]]}]}', "Feature: x has element with unexpected JSON type: Array"),
        ('{"examples": [{"x": {"a": 1}}]}', "Feature: x has element with unexpected JSON type: Object"),
        ('{"examples": [{"x": [1, 2.5]}]}', "Unexpected element type in feature: x expecting type: int64"),
        ('{"examples": [{"x": [1.0, 2]}]}', "Unexpected element type in feature: x expecting type: float"),
        ('{"examples": [{"x": ["a", 1]}]}', "Unexpected element type in feature: x expecting type: bytes"),
        (
            '{"examples": [{"x": [1.0, {"b64": "YQ=="}]}]}',
            "Unexpected element type in feature: x expecting type: float",
        ),
        ('{"examples": [{"x": {"b64": "-"}}]}', "Unable to base64 decode"),
        (
            '{"examples": [{"x": 18446744073709551615}]}',
            "Feature: x has uint64_t element. Only int64_t is supported.",
        ),
        (
            '{"examples": [{"x": [1.0, 18446744073709551615]}]}',
            "Unexpected element type in feature: x expecting type: float",
        ),
        (
            '{"signature_name": 1, "examples": [{}]}',
            'JSON Value: {\n    "signature_name": 1,\n    "examples": [{}]\n} not formatted correctly. '
            "'signature_name' key must be a string value.",
        ),
    ],
)
def test_a_body_is_refused(body: str, message: str) -> None:
    with pytest.raises(WireError) as caught:
        examples(body)
    assert (caught.value.fault, caught.value.message) == (Fault.INVALID, message)


LABELS = np.array([[b"a", b'"\xff']], object)
SCORES = np.array([[0.5, np.nan]], np.float32)


@pytest.mark.parametrize(
    ("labels", "scores", "body"),
    [
        (LABELS, SCORES, b'{\n    "results": [[["a", 0.5], ["\\"\xff", NaN]]\n    ]\n}'),
        (LABELS, None, b'{\n    "results": [[["a", 0.0], ["\\"\xff", 0.0]]\n    ]\n}'),
        (None, SCORES, b'{\n    "results": [[["", 0.5], ["", NaN]]\n    ]\n}'),
        (None, SCORES[:, :0], b'{\n    "results": [[]\n    ]\n}'),
    ],
)
def test_a_classification_is_written_as_the_server_does(labels: Any, scores: Any, body: bytes) -> None:
    assert rest_examples.encode_classify_response(ClassifyResponse(Target("m"), labels, scores)) == body


def test_a_regression_is_written_as_the_server_does() -> None:
    values = np.array([1, np.inf, 0.1], np.float32)
    body = rest_examples.encode_regress_response(RegressResponse(Target("m"), values))
    assert body == b'{\n    "results": [1.0, Infinity, 0.1]\n}'


@pytest.mark.parametrize(
    "body", [b"{}", b'{"results": 1}', b'{"results": [[1]]}', b'{"results": [[["a"]]]}', b'{"results": [[[1, 2]]]}']
)
def test_an_answer_that_is_none_says_so(body: bytes) -> None:
    with pytest.raises(WireError, match="the answer holds no results"):
        rest_examples.decode_classify_response(Target("m"), body)
    with pytest.raises(WireError, match="the answer holds no results"):
        rest_examples.decode_regress_response(Target("m"), body)
