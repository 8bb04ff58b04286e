"""Feeds are cut into batches of one size, and the answers come back in order."""

import numpy as np
import pytest

from toolkit.core.batches import cut, joined
from toolkit.core.tensors import Signature, TensorSpec

SIGNATURE = Signature({"x": TensorSpec("float32", (None, 2)), "k": TensorSpec("int32", ())}, {})


@pytest.mark.parametrize(("rows", "size", "count"), [(7, 3, 3), (6, 3, 2), (1, 4, 1), (4, 4, 1)])
def test_every_row_is_asked_once_and_the_rest_is_filled_up(rows: int, size: int, count: int) -> None:
    x = np.arange(rows * 2, dtype=np.float32).reshape(rows, 2)
    parts = list(cut(SIGNATURE, {"x": x, "k": np.array(3, np.int32)}, size))
    assert len(parts) == count
    assert {part["x"].shape for part in parts} == {(size, 2)}
    assert all(part["k"] == 3 for part in parts)
    np.testing.assert_array_equal(joined([{"y": part["x"]} for part in parts], rows)["y"], x)
