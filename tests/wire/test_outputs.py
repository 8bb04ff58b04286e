"""Answers of :predict: their layout, what cannot be written, and what a client makes of them."""

import json
from typing import Any

import numpy as np
import pytest

from toolkit.core.tensors import Signature, TensorSpec
from toolkit.errors import Fault, WireError
from toolkit.wire import rest_outputs
from toolkit.wire.messages import Target
from toolkit.wire.rest_predict import Layout
from toolkit.wire.signatures import write_signature


def text_of(outputs: dict[str, Any], layout: Layout) -> str:
    return rest_outputs.encode_predict_response(outputs, layout).decode()


MATRIX = np.array([[1, 2], [3, 4]], np.int32)
BYTES = np.array([b"a", b"\xff"], object)


@pytest.mark.parametrize(
    ("outputs", "rows", "columns"),
    [
        (
            {"y": MATRIX},
            '{\n    "predictions": [[1, 2], [3, 4]\n    ]\n}',
            '{\n    "outputs": [\n        [\n            1,\n            2\n        ],\n        [\n            3,\n'
            "            4\n        ]\n    ]\n}",
        ),
        (
            {"y": MATRIX[:0]},
            '{\n    "predictions": []\n}',
            '{\n    "outputs": []\n}',
        ),
        (
            {"y": MATRIX[:, :0]},
            '{\n    "predictions": [[], []\n    ]\n}',
            '{\n    "outputs": [\n        [],\n        []\n    ]\n}',
        ),
        (
            {"y_bytes": BYTES[:1]},
            '{\n    "predictions": [{\n            "b64": "YQ=="\n        }\n    ]\n}',
            '{\n    "outputs": [\n        {\n            "b64": "YQ=="\n        }\n    ]\n}',
        ),
        (
            {"a": MATRIX[:1], "b_bytes": BYTES[:1].reshape(1, 1)},
            '{\n    "predictions": [\n        {\n            "a": [1, 2],\n            "b_bytes": [{\n'
            '                    "b64": "YQ=="\n                }]\n        }\n    ]\n}',
            '{\n    "outputs": {\n        "a": [\n            [\n                1,\n                2\n            ]\n'
            '        ],\n        "b_bytes": [\n            [\n                {\n                    "b64": "YQ=="\n'
            "                }\n            ]\n        ]\n    }\n}",
        ),
    ],
)
def test_outputs_are_laid_out_as_the_server_does(outputs: dict[str, Any], rows: str, columns: str) -> None:
    assert text_of(outputs, Layout.ROWS) == rows
    assert text_of(outputs, Layout.COLUMNS) == columns
    assert json.loads(rows).keys() == {"predictions"}


def test_a_scalar_stands_alone_in_columns() -> None:
    assert text_of({"y": np.float32(2.5).reshape(())}, Layout.COLUMNS) == '{\n    "outputs": 2.5\n}'
    assert text_of({"y": np.array(True)}, Layout.COLUMNS) == '{\n    "outputs": true\n}'


@pytest.mark.parametrize(
    ("outputs", "layout", "message"),
    [
        ({}, Layout.ROWS, "Cannot convert empty tensor map to JSON"),
        ({"y": np.zeros(())}, Layout.ROWS, "Tensor name: y has no shape information "),
        (
            {"y": np.zeros(2), "z": np.zeros(3)},
            Layout.ROWS,
            "Tensor name: z has inconsistent batch size: 3 expecting: 2",
        ),
        (
            {"y": np.zeros(1, np.float16)},
            Layout.COLUMNS,
            "Failed to write JSON value for tensor type: half",
        ),
        (
            {"y": np.zeros((1, 1), np.complex64)},
            Layout.ROWS,
            "Failed to write JSON value for tensor type: complex64",
        ),
    ],
)
def test_outputs_that_cannot_be_written(outputs: dict[str, Any], layout: Layout, message: str) -> None:
    with pytest.raises(WireError) as caught:
        text_of(outputs, layout)
    assert (caught.value.fault, caught.value.message) == (Fault.INVALID, message)


@pytest.mark.parametrize(
    ("body", "shape"),
    [(b'{"outputs": []}', (0, 3)), (b'{"predictions": []}', (0, 3)), (b'{"outputs": [[], []]}', (2, 0))],
)
def test_an_empty_answer_has_the_signatures_shape(body: bytes, shape: tuple[int, ...]) -> None:
    made = write_signature("s", Signature({}, {"y": TensorSpec("float32", (None, 3))}))
    assert rest_outputs.decode_predict_response(Target("m"), made, body).outputs["y"].shape == shape


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{}", "neither outputs nor predictions"),
        (b'{"outputs": ["a"]}', "output 'y'"),
        (b'{"outputs": [[1], [2, 3]]}', "output 'y'"),
        (b"[]", "Is not object"),
    ],
)
def test_an_answer_that_is_none_says_why(body: bytes, reason: str) -> None:
    made = write_signature("s", Signature({}, {"y": TensorSpec("float32", None)}))
    with pytest.raises(WireError, match=reason):
        rest_outputs.decode_predict_response(Target("m"), made, body)
