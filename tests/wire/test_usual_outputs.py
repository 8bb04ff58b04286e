"""An answer that is filled into a remembered blank is to the byte the one that is put together piece by piece."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.errors import WireError
from toolkit.wire import rest_outputs
from toolkit.wire.rest_outputs import encode_predict_response
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


def answered(outputs: Any, layout: Layout) -> bytes | str:
    try:
        return encode_predict_response(outputs, layout)
    except WireError as error:
        return error.message
