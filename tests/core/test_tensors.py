"""Dtypes, shapes and feeds: what a signature takes, and what it refuses rather than changes."""

import re
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.core.tensors import (
    NUMPY_DTYPES,
    Signature,
    TensorSpec,
    as_array,
    check_feed,
    composite_parts,
    dtype_name,
    sample_feed,
)
from toolkit.errors import CatalogError, FeedError

IMAGE = Signature(inputs={"image": TensorSpec("float32", (None, 2))})


class TensorFlowDType:
    name = "bfloat16"


@pytest.mark.parametrize("name", NUMPY_DTYPES)
def test_a_dtype_is_known_by_its_name_and_by_how_numpy_holds_it(name: str) -> None:
    assert dtype_name(name) == name
    assert dtype_name(NUMPY_DTYPES[name]) == name
    assert TensorSpec(name).numpy_dtype == NUMPY_DTYPES[name]


@pytest.mark.parametrize(
    ("given_dtype", "name"),
    [
        (float, "float64"),
        (np.int8, "int8"),
        (">f4", "float32"),
        ("half", "float16"),
        (bytes, "string"),
        (np.dtype("S3"), "string"),
        (TensorFlowDType(), "bfloat16"),
    ],
)
def test_what_means_a_dtype_is_read_as_it(given_dtype: object, name: str) -> None:
    assert dtype_name(given_dtype) == name


@pytest.mark.parametrize(
    "given_dtype", [None, "", "foo", "{", "f4,", "datetime64[s]", "longdouble", "int4", "float8_e5m2", "resource", 3]
)
def test_what_no_tensor_holds_is_no_dtype(given_dtype: object) -> None:
    with pytest.raises(CatalogError, match="is no dtype of a tensor") as caught:
        dtype_name(given_dtype)
    assert "bfloat16" in caught.value.hint


@pytest.mark.parametrize(
    ("shape", "kept"),
    [((), ()), ([2, 3], (2, 3)), ((None, -1, 0), (None, None, 0)), ((np.int64(4),), (4,)), (None, None)],
)
def test_a_shape_is_sizes_and_open_dimensions(shape: Any, kept: object) -> None:
    assert TensorSpec("int8", shape).shape == kept


@pytest.mark.parametrize("shape", [3, (2.5,), ("3",), (-2,), "ab"])
def test_another_shape_is_refused(shape: Any) -> None:
    with pytest.raises(CatalogError, match="is no shape of a tensor"):
        TensorSpec("int8", shape)


@pytest.mark.parametrize(
    ("shape", "text", "batched"),
    [
        ((None, 3), "int8[*, 3]", True),
        ((3, None), "int8[3, *]", False),
        ((), "int8[]", False),
        (None, "int8[?]", False),
    ],
)
def test_a_spec_says_what_it_takes(shape: Any, text: str, batched: bool) -> None:
    spec = TensorSpec("int8", shape)
    assert (str(spec), spec.batched) == (text, batched)


@pytest.mark.parametrize(
    ("shape", "actual", "fits"),
    [
        ((None, 3), (0, 3), True),
        ((None, 3), (5, 3), True),
        ((None, 3), (5, 4), False),
        ((None, 3), (3,), False),
        ((), (), True),
        ((), (1,), False),
        (None, (1, 2, 3), True),
    ],
)
def test_an_array_fits_where_every_fixed_size_is_its_own(shape: Any, actual: tuple[int, ...], fits: bool) -> None:
    assert TensorSpec("int8", shape).fits(actual) is fits


def test_a_method_that_tensorflow_serving_lacks_is_refused() -> None:
    with pytest.raises(CatalogError, match="'train' is no method"):
        Signature(inputs={}, method="train")


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [
        ([1, 2], "float32", [1.0, 2.0]),
        ([3.0], "int32", [3]),
        ([True], "int8", [1]),
        ([2**63], "uint64", [2**63]),
        ([2**70], "float32", [2.0**70]),
        ([0.1], "bfloat16", [0.1]),
        ([ml_dtypes.bfloat16(2)], "float32", [2.0]),
        ([1.5], "complex64", [1.5]),
        ([float("inf"), float("nan")], "float16", [float("inf"), float("nan")]),
        ([], "bool", []),
        ([[]], "int32", [[]]),
        (7, "int64", 7),
    ],
)
def test_a_python_value_takes_the_wanted_dtype(value: object, dtype: str, expected: object) -> None:
    array = as_array(value, dtype)
    assert array.dtype == NUMPY_DTYPES[dtype]
    np.testing.assert_array_equal(array, np.asarray(expected, NUMPY_DTYPES[dtype]))


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        ([1, 1.5], "int32"),
        ([float("nan")], "int32"),
        ([300], "uint8"),
        ([-1], "uint64"),
        ([2**63], "int64"),
        ([2**70], "uint64"),
        ([10**400], "float64"),
        ([1e300], "float32"),
        ([70000], "float16"),
        ([1e300], "bfloat16"),
        (["3"], "float32"),
        (["False"], "bool"),
        ([2], "bool"),
        ([None], "float32"),
        ([None], "bool"),
        ([1j], "float64"),
        ([[1], [2, 3]], "float32"),
        ({"a": 1}, "float32"),
        (object(), "int8"),
        ([1], "string"),
        ([None], "string"),
        ([["a"], ["b", "c"]], "string"),
        (["\ud800"], "string"),
    ],
)
def test_a_value_that_would_have_to_change_is_refused(value: object, dtype: str) -> None:
    with pytest.raises(FeedError) as caught:
        as_array(value, dtype)
    assert caught.value.hint


@given(st.lists(st.one_of(st.binary(), st.text(st.characters(exclude_categories=["Cs"])))))
def test_strings_keep_every_byte(items: list[bytes | str]) -> None:
    expected = [item.encode() if isinstance(item, str) else item for item in items]
    assert as_array(items, "string").tolist() == expected


@given(st.lists(st.integers(-(2**70), 2**70), max_size=4), st.sampled_from(["int8", "uint8", "int64", "uint64"]))
def test_integers_arrive_as_they_are_or_not_at_all(numbers: list[int], dtype: str) -> None:
    limits = np.iinfo(dtype)
    if all(limits.min <= number <= limits.max for number in numbers):
        assert as_array(numbers, dtype).tolist() == numbers
    else:
        with pytest.raises(FeedError):
            as_array(numbers, dtype)


def test_an_array_of_the_wanted_dtype_is_not_copied() -> None:
    array = np.ones((1, 2), np.float32)
    assert check_feed(IMAGE, {"image": array})["image"] is array


@pytest.mark.parametrize(
    ("feed", "message"),
    [
        ({}, "missing input 'image'"),
        ({"image": [[1, 2]], "x": 1}, "unknown input 'x'"),
        ({"x": 1}, "missing input 'image'; unknown input 'x'"),
        ({"image": np.ones((1, 2))}, "'image' is float64, the signature wants float32[*, 2]"),
        ({"image": np.array(["2020"], "datetime64[s]")}, "'image' is datetime64[s]"),
        ({"image": memoryview(b"ab")}, "'image' has shape [2]"),
        ({"image": [[1, 2, 3]]}, "'image' has shape [1, 3], the signature wants float32[*, 2]"),
        ({"image": [["a", "b"]]}, "input 'image': a tensor of float32 cannot hold 'a'"),
    ],
)
def test_a_feed_that_does_not_fit_is_told_where(feed: dict[str, object], message: str) -> None:
    with pytest.raises(FeedError, match=re.escape(message)) as caught:
        check_feed(IMAGE, feed)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("spec", "value"),
    [
        (TensorSpec("string", (None,)), np.array(["a", "b"])),
        (TensorSpec("string", (None,)), np.array([b"a", b"b"])),
        (TensorSpec("string", (None,)), np.array(["a", b"b"], dtype=object)),
        (TensorSpec("float32", (2,)), np.array([1, 2], ">f4")),
        (TensorSpec("float32", ()), np.float64(0.5)),
    ],
)
def test_a_feed_may_hold_text_bytes_and_scalars_in_any_way(spec: TensorSpec, value: object) -> None:
    array = check_feed(Signature(inputs={"x": spec}), {"x": value})["x"]
    assert array.dtype == spec.numpy_dtype


@pytest.mark.parametrize("dtype", NUMPY_DTYPES)
@pytest.mark.parametrize("shape", [(), (None,), (None, None, 3), None])
def test_a_sample_feed_fits_and_repeats(dtype: str, shape: Any) -> None:
    signature = Signature(inputs={"x": TensorSpec(dtype, shape)})
    first, again = (sample_feed(signature, 5, seed=3)["x"] for _ in range(2))
    assert check_feed(signature, {"x": first})["x"].dtype == NUMPY_DTYPES[dtype]
    assert first.tolist() == again.tolist()
    if shape != ():
        assert first.shape[0] == 5


@pytest.mark.parametrize(
    ("names", "parts"),
    [
        (["x_values", "x_row_splits", "y"], ["x_row_splits", "x_values"]),
        (["x_values", "x_row_splits_0", "x_row_splits_1"], ["x_row_splits_0", "x_row_splits_1", "x_values"]),
        (["x_indices", "x_values", "x_dense_shape"], ["x_dense_shape", "x_indices", "x_values"]),
        (["x_values", "y_row_splits", "z_indices", "row_splits"], []),
        (["x_values", "x_indices"], []),
        (["x_values", "x_row_splits_total", "x"], []),
    ],
)
def test_parts_of_ragged_and_sparse_tensors_are_told_by_their_names(names: list[str], parts: list[str]) -> None:
    assert sorted(composite_parts(names)) == parts
