"""Bodies that are read by their form mean what they mean when they are read in full, or are read in full."""

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from toolkit.core.tensors import Signature, TensorSpec
from toolkit.errors import ToolkitError
from toolkit.wire.fast_rest import NumbersReader
from toolkit.wire.messages import PredictRequest, Target
from toolkit.wire.rest_predict import Layout, decode_predict_request
from toolkit.wire.signatures import ServedSignature, write_signature

TARGET = Target("m")
FLOATS = st.floats(allow_nan=False, allow_infinity=False, width=64)
INTEGERS = st.integers(-(2**65), 2**65) | st.integers(-(2**31) - 2, 2**31 + 2)
# Where the numbers stand, and what may be there besides.
AROUND = (
    '{"instances": %s}',
    '{"inputs":%s}',
    '{"inputs": {"x": %s}}',
    '{"signature_name": "other", "instances": %s}',
    '{"instances": %s, "signature_name": "other"}',
    '{"inputs": {"x": %s, "more": 1}} ',
    '{"inputs": {"e1": %s}}',
    '{"a": 1, "inputs": %s}',
)
# A number, or what would be one if nobody looked closely.
TEXTS = st.sampled_from(
    [
        "1",
        "-0",
        "-0.0",
        "0.1",
        "1e5",
        "1E+5",
        "1e400",
        "-1e39",
        "1e-400",
        "01",
        "1.",
        ".5",
        "-",
        "",
        "1 2",
        "+1",
        "1e",
        "--1",
    ]
) | st.sampled_from(["true", "null", '"1"', "NaN", "-Infinity", "[1]", "{}", "18446744073709551615", "1" * 41 + ".0"])


def signatures(dtype: str, name: str = "x") -> Mapping[str, ServedSignature]:
    spec = TensorSpec(dtype, None)
    return {key: write_signature(key, Signature({name: spec}, {"y": spec})) for key in ("serving_default", "other")}


def meaning(bound: Any) -> tuple[Any, ...]:
    """What a request says, to the bit; or the error that it ends with."""
    try:
        request, layout = bound()
    except ToolkitError as error:
        return (type(error), error.message, error.fault)
    tensors = {name: (str(array.dtype), array.shape, array.tobytes()) for name, array in request.feed.items()}
    return (request.target.signature_name, layout, tensors)


def in_full(body: bytes, known: Mapping[str, ServedSignature]) -> tuple[PredictRequest, Layout]:
    return decode_predict_request(TARGET, body).bind(known)


def by_form(reader: NumbersReader, body: bytes, known: Mapping[str, ServedSignature]) -> tuple[PredictRequest, Layout]:
    read = reader.read(TARGET, body)
    request = read.bind(known)
    return request, read.layout


def nested(values: list[str], shape: tuple[int, ...]) -> str:
    if not shape:
        return values.pop(0)
    return "[" + ", ".join(nested(values, shape[1:]) for _ in range(shape[0])) + "]"


@st.composite
def numbers(draw: st.DrawFn, shape: tuple[int, ...]) -> str:
    kind = draw(st.sampled_from([FLOATS.map(repr), INTEGERS.map(str), st.integers(0, 9).map(str)]))
    return nested([draw(kind) for _ in range(math.prod(shape))], shape)


@given(st.data(), st.sampled_from(AROUND), st.sampled_from(["float32", "float64", "int32", "int64", "uint8", "bool"]))
def test_numbers_in_a_known_form_mean_the_same(data: st.DataObject, around: str, dtype: str) -> None:
    shape = data.draw(st.sampled_from([(1,), (3,), (2, 2), (1, 2, 3), (2, 1)]))
    reader, known = NumbersReader(), signatures(dtype)
    for _ in range(3):
        body = (around % data.draw(numbers(shape))).encode()
        assert meaning(lambda: by_form(reader, body, known)) == meaning(lambda: in_full(body, known))  # noqa: B023


@given(st.data(), st.sampled_from(AROUND), st.sampled_from(["float32", "int64", "int32"]))
def test_what_only_looks_like_numbers_is_read_in_full(data: st.DataObject, around: str, dtype: str) -> None:
    reader, known = NumbersReader(), signatures(dtype)
    shape = data.draw(st.sampled_from([(3,), (2, 2)]))
    usual = (around % nested(["1"] * math.prod(shape), shape)).encode()
    meaning(lambda: by_form(reader, usual, known))
    values = data.draw(st.lists(st.just("1") | TEXTS, min_size=math.prod(shape), max_size=math.prod(shape)))
    body = (around % nested(values, shape)).encode()
    assert meaning(lambda: by_form(reader, body, known)) == meaning(lambda: in_full(body, known))


@given(st.binary(max_size=8), st.integers(0, 40), st.integers(0, 6))
@example(b"]", 15, 0)
@example(b"[", 15, 1)
@example(b"e", 3, 1)
def test_any_change_of_a_known_body_means_what_it_means_in_full(put: bytes, at: int, gone: int) -> None:
    usual = b'{"inputs": {"x": [[1, 2], [3, 4]]}}'
    reader, known = NumbersReader(), signatures("float32")
    by_form(reader, usual, known)
    body = usual[:at] + put + usual[at + gone :]
    assert meaning(lambda: by_form(reader, body, known)) == meaning(lambda: in_full(body, known))


def test_a_known_form_is_not_read_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, known = NumbersReader(), signatures("float32")
    by_form(reader, b'{"instances": [[1, 2], [3, 4]]}', known)
    monkeypatch.setattr("toolkit.wire.fast_rest.decode_predict_request", None)
    request, layout = by_form(reader, b'{"instances": [[5e0, 6.5], [-7, 8]]}', known)
    assert layout is Layout.ROWS
    assert request.feed["x"].dtype == np.float32
    assert request.feed["x"].tolist() == [[5, 6.5], [-7, 8]]


def test_the_same_form_under_another_signature_is_looked_at_again() -> None:
    reader = NumbersReader()
    body = b'{"inputs": [1, 2]}'
    by_form(reader, body, signatures("float32"))
    for known in (signatures("int32"), signatures("float32", "z"), signatures("string"), {}):
        assert meaning(lambda: by_form(reader, body, known)) == meaning(lambda: in_full(body, known))  # noqa: B023


def test_forms_that_clients_make_up_are_forgotten() -> None:
    reader, known = NumbersReader(), signatures("float32")
    for size in range(1, 3000):
        by_form(reader, json.dumps({"inputs": [0] * size}).encode(), known)
    held = sum(sum(map(len, key)) for key in reader._forms)
    assert held <= 1 << 23
    assert reader._held_bytes <= 1 << 23
