"""An answer that is filled into a remembered blank is to the byte the one that is put together piece by piece."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from toolkit.errors import WireError
from toolkit.wire import json_writer, rest_outputs
from toolkit.wire.rest_outputs import encode_predict_response, encode_predict_responses
from toolkit.wire.rest_predict import Layout

SHAPES = ((), (0,), (1,), (3,), (2, 2), (1, 1, 4), (3, 0), (2, 1, 2))
DTYPES = ("float32", "float64", "int8", "int64", "uint64", "bool", "float16", "uint16")
SPECIAL = (0.0, -0.0, 1.0, 0.1, 1 / 3, 1e-30, 3e38, float("nan"), float("inf"), float("-inf"), 123456.0, 1234567.0)


@given(st.data(), st.sampled_from(SHAPES), st.sampled_from(DTYPES), st.sampled_from(Layout))
def test_both_ways_give_the_same_bytes(data: st.DataObject, shape: tuple[int, ...], dtype: str, layout: Layout) -> None:
    size = int(np.prod(shape))
    numbers = st.sampled_from(SPECIAL) | st.floats(width=32)
    kind = numbers if dtype.startswith("float") else st.integers(0, 1) if dtype == "bool" else st.integers(0, 127)
    values = data.draw(st.lists(kind, min_size=size, max_size=size))
    with np.errstate(over="ignore"):
        outputs = {"y %s": np.array(values).astype(dtype).reshape(shape)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rest_outputs, "_FEW", 0)
        expected = answered(outputs, layout)
    assert answered(outputs, layout) == expected


def together(outputs: Any, layout: Layout, count: int) -> Sequence[bytes] | str:
    try:
        return encode_predict_responses(outputs, layout, count)
    except WireError as error:
        return error.message


def answered(outputs: Any, layout: Layout) -> bytes | str:
    try:
        return encode_predict_response(outputs, layout)
    except WireError as error:
        return error.message


@given(st.data(), st.sampled_from(SHAPES), st.sampled_from(DTYPES), st.sampled_from(Layout), st.integers(1, 20))
def test_answers_of_one_batch_are_those_of_each_by_itself(
    data: st.DataObject, shape: tuple[int, ...], dtype: str, layout: Layout, count: int
) -> None:
    assume(shape)
    size = count * int(np.prod(shape))
    kind = st.sampled_from(SPECIAL) if dtype.startswith("float") else st.integers(0, 1)
    values = np.array(data.draw(st.lists(kind, min_size=size, max_size=size)))
    with np.errstate(over="ignore"):
        whole = values.astype(dtype).reshape(count * shape[0], *shape[1:])
    for outputs in ({"y": whole}, {"y": whole, "z": whole[::-1]}):
        parts = [
            {name: array[at : at + shape[0]] for name, array in outputs.items()}
            for at in (shape[0] * number for number in range(count))
        ]
        expected = [answered(part, layout) for part in parts]
        assert together(outputs, layout, count) in (expected, expected[0])  # one word where it cannot be written


SHORT = (1e6, 999999.5, 123456.5, 1e-45, 1e-40, 5e-324, 1e15, 1e16, 9.999995, 1e-7, 2.5e-5, 100000.0, 16777216.0)


@given(
    st.sampled_from(("float32", "float64")),
    st.lists(st.sampled_from(SPECIAL + SHORT) | st.floats(), min_size=1, max_size=80),
    st.integers(-45, 38),
)
def test_many_numbers_are_printed_as_few_are(dtype: str, values: list[float], power: int) -> None:
    with np.errstate(over="ignore"):
        near = np.round(np.array(values), 3) * 10.0**power
        array = np.concatenate([np.array(values), near]).astype(dtype)
        array = np.concatenate([array, np.nextafter(array, array.dtype.type(0)), *[array] * (64 // len(values))])
    each = [json_writer.number_texts(array[at : at + 1])[0] for at in range(len(array))]
    assert len(array) >= 64
    assert json_writer.number_texts(array) == each


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_number_that_six_digits_say_is_found(dtype: str) -> None:
    for power in range(-9, 7):
        array = (np.arange(1, 1_000_000, 997) * 10.0**power).astype(dtype)
        few = (json_writer.number_texts(array[at : at + 50]) for at in range(0, len(array), 50))
        texts = json_writer.number_texts(array)
        assert texts == [text for some in few for text in some]
        if dtype == "float32":  # products of doubles are often one step beside what six digits say
            assert max(map(len, texts)) <= len("1.23456e-05")
