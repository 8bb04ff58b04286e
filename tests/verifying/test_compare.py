"""Arrays and a tolerance go in; how far apart, where it is worst, and the verdict come out."""

import math
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from toolkit.core.parity import DEFAULT_TOLERANCES, EXACT, Allowed, Deviation, Tolerance
from toolkit.core.tensors import NUMPY_DTYPES, Array, as_array, dtype_name
from toolkit.verifying.compare import allow, compare, worse

NAN, INF = math.nan, math.inf
HALF = np.dtype(ml_dtypes.bfloat16)
LOOSE = Tolerance(0.5, 0.0)


def default(expected: Array) -> Tolerance:
    return DEFAULT_TOLERANCES.get(dtype_name(expected.dtype), EXACT)


def held(dtype: Any, expected: Any, actual: Any, limit: Tolerance | None = None) -> Deviation:
    """The deviation of two values of one dtype, by the dtype's own tolerance unless another is given."""
    name = dtype_name(dtype)
    want, have = (
        as_array(value, name) if name == "string" else np.asarray(value, dtype) for value in (expected, actual)
    )
    return compare("y", want, have, limit or default(want))


@pytest.mark.parametrize(
    ("dtype", "expected", "actual"),
    [
        ("float32", [1.0, 2.0], [1.0 + 1e-4, 2.0 - 2e-4]),
        ("float64", [1.0, 2.0], [1.0 + 1e-7, 2.0]),
        ("float16", [1.0, 2.0], [1.015, 2.0]),
        (HALF, [1.0, 2.0], [1.0, 2.015625]),
        ("complex64", [1 + 1j], [1 + 1.0001j]),
        ("complex128", [1 + 1j], [1 + 1.0000001j]),
        ("float32", [NAN, 1.0], [NAN, 1.0]),
        ("float32", [INF, -INF], [INF, -INF]),
        ("complex64", [complex(NAN, 1)], [complex(NAN, 1)]),
        ("complex64", [complex(INF, 1)], [complex(INF, 1)]),
        ("float32", 1.0, 1.0),
        ("float32", np.zeros((0, 3)), np.zeros((0, 3))),
        ("int32", np.zeros((2, 0)), np.zeros((2, 0))),
        ("string", np.zeros((0,), object), np.zeros((0,), object)),
        ("int64", [2**53 + 1, -(2**63)], [2**53 + 1, -(2**63)]),
        ("uint64", [2**64 - 1], [2**64 - 1]),
        ("bool", [True, False], [True, False]),
        ("string", [b"a\x00", b"\xff", "\u00e9"], [b"a\x00", b"\xff", "\u00e9".encode()]),
        ("string", b"alone", b"alone"),
    ],
)
def test_what_agrees_passes_without_a_word(dtype: Any, expected: Any, actual: Any) -> None:
    found = held(dtype, expected, actual)
    assert found.passed
    assert found.problem == ""


@pytest.mark.parametrize(
    ("dtype", "expected", "actual", "gap", "problem"),
    [
        (
            "float32",
            [1.0, 2.0, 3.0],
            [1.0, 2.01, 3.5],
            0.5,
            "at [2]: expected 3.0, actual 3.5 (atol 1e-05, rtol 0.0001)",
        ),
        ("float32", [[1.0, 100.0]], [[1.05, 100.2]], 0.2, "at [0, 1]: expected 100.0, actual 100.2"),
        ("float32", 1.0, 2.0, 1.0, "at []: expected 1.0, actual 2.0"),
        ("float64", [1.0], [1.0 + 3e-7], 3e-7, "at [0]: expected 1.0, actual 1.0000003"),
        ("float16", [1.0], [1.5], 0.5, "at [0]: expected 1.0, actual 1.5"),
        (HALF, [1.0, 2.0], [1.0, 2.5], 0.5, "at [1]: expected 2, actual 2.5"),
        ("complex64", [1 + 1j], [1 + 2j], 1.0, "at [0]: expected (1+1j), actual (1+2j)"),
        ("complex64", [complex(NAN, 1)], [complex(NAN, 2)], INF, "at [0]: expected (nan+1j), actual (nan+2j)"),
        ("complex64", [complex(INF, 1)], [complex(INF, 2)], INF, "at [0]: expected (inf+1j), actual (inf+2j)"),
        ("float32", [1.0, 2.0], [1.0, NAN], INF, "at [1]: expected 2.0, actual nan"),
        ("float32", [NAN, 2.0], [1.0, 2.0], INF, "at [0]: expected nan, actual 1.0"),
        ("float32", [INF], [-INF], INF, "at [0]: expected inf, actual -inf"),
        ("float32", [3e38], [INF], INF, "at [0]: expected 3e+38, actual inf"),
        ("float32", [INF], [3e38], INF, "at [0]: expected inf, actual 3e+38"),
        ("float64", [1.7e308], [-1.7e308], INF, "at [0]: expected 1.7e+308, actual -1.7e+308"),
        ("int64", [2**62 + 1, 5], [2**62, 5], 1.0, "at [0]: expected 4611686018427387905, actual 4611686018427387904"),
        ("int64", [-(2**63), 0], [2**63 - 1, 9], 2.0**64, "at [0]: expected -9223372036854775808, actual"),
        ("uint64", [0, 1], [2**64 - 1, 1], 2.0**64, "at [0]: expected 0, actual 18446744073709551615"),
        ("int8", [1, -128, 3], [2, 127, 3], 255.0, "at [1]: expected -128, actual 127"),
        ("bool", [True, False], [True, True], 1.0, "at [1]: expected False, actual True"),
        ("string", [b"a", b"b\x00"], [b"a", b"b"], INF, "at [1]: expected b'b\\x00', actual b'b'"),
        ("string", b"x", b"y", INF, "at []: expected b'x', actual b'y'"),
    ],
)
def test_what_differs_is_named_with_its_worst_place(
    dtype: Any, expected: Any, actual: Any, gap: float, problem: str
) -> None:
    found = held(dtype, expected, actual)
    assert not found.passed
    assert found.max_abs == pytest.approx(gap, rel=1e-3)
    assert found.problem.startswith(f"output 'y' {problem}")


@pytest.mark.parametrize(
    ("expected", "actual", "problem"),
    [
        (np.zeros(2, "float32"), np.zeros(2, "float64"), "output 'y' is float64, expected float32"),
        (np.zeros(2, "int32"), np.zeros(2, "int64"), "output 'y' is int64, expected int32"),
        (np.zeros(2, HALF), np.zeros(2, "uint16"), "output 'y' is uint16, expected bfloat16"),
        (np.zeros((2, 1), "float32"), np.zeros((1, 2), "float32"), "output 'y' has shape [1, 2], expected [2, 1]"),
        (np.zeros((), "float32"), np.zeros((1,), "float32"), "output 'y' has shape [1], expected []"),
        (np.zeros((0, 2), "float32"), np.zeros((0, 3), "float32"), "output 'y' has shape [0, 3], expected [0, 2]"),
    ],
)
def test_another_dtype_or_shape_is_hopeless(expected: Array, actual: Array, problem: str) -> None:
    found = compare("y", expected, actual, LOOSE)
    assert (found.passed, found.max_abs, found.problem) == (False, INF, problem)


@pytest.mark.parametrize(
    ("limit", "actual", "passed"),
    [
        (Tolerance(0.25, 0.0), 1.25, True),
        (Tolerance(0.25, 0.0), np.nextafter(np.float32(1.25), np.float32(2)), False),
        (Tolerance(0.0, 0.25), 1.25, True),
        (Tolerance(0.0, 0.25), np.nextafter(np.float32(1.25), np.float32(2)), False),
        (Tolerance(0.125, 0.125), 0.75, True),
        (Tolerance(0.125, 0.125), np.nextafter(np.float32(0.75), np.float32(0)), False),
        (EXACT, 1.0, True),
        (EXACT, np.nextafter(np.float32(1), np.float32(2)), False),
    ],
)
def test_the_limit_itself_passes_and_the_next_number_does_not(limit: Tolerance, actual: float, passed: bool) -> None:
    assert held("float32", [1.0], [actual], limit).passed is passed


def test_the_worst_place_is_where_the_limit_is_passed_most_not_where_the_gap_is_largest() -> None:
    found = held("float32", [1000.0, 1.0], [1000.5, 1.25], Tolerance(0.0, 1e-3))
    assert found.max_abs == 0.5
    assert found.problem.startswith("output 'y' at [1]: expected 1.0, actual 1.25")


@pytest.mark.parametrize(
    ("dtype", "expected", "steps"),
    [("float16", -1.0, 3), ("float32", -1.0, 3), ("float64", -8.0, 2), ("float32", 0.0, 1)],
)
def test_distance_in_units_in_the_last_place(dtype: str, expected: float, steps: int) -> None:
    want = np.array([expected], dtype)
    have = want.copy()
    for _ in range(steps):
        have = np.nextafter(have, want.dtype.type(-99))
    assert compare("y", want, have, EXACT).max_ulp == steps


@pytest.mark.parametrize("dtype", [HALF, "complex64", "int32", "bool"])
def test_units_in_the_last_place_are_left_out_where_they_have_no_meaning(dtype: Any) -> None:
    assert held(dtype, [1, 0], [0, 1]).max_ulp is None


@pytest.mark.parametrize(
    ("expected", "actual", "agreement"),
    [
        ([[0.1, 0.9], [0.8, 0.2]], [[0.2, 0.8], [0.7, 0.3]], 1.0),
        ([[0.1, 0.9], [0.8, 0.2]], [[0.9, 0.1], [0.7, 0.3]], 0.5),
        ([[[0.1, 0.9]], [[0.8, 0.2]]], [[[0.9, 0.1]], [[0.2, 0.8]]], 0.0),
        ([0.1, 0.9], [0.9, 0.1], None),
        ([[0.1], [0.9]], [[0.9], [0.1]], None),
    ],
)
def test_argmax_agreement_is_the_share_of_rows(expected: Any, actual: Any, agreement: float | None) -> None:
    assert held("float32", expected, actual, LOOSE).argmax_agreement == agreement


def test_two_deviations_of_one_output_keep_the_larger_numbers_and_the_worst_problem() -> None:
    good, bad = held("float32", [[1.0, 2.0]], [[1.0, 2.0]]), held("float32", [[1.0, 2.0]], [[3.0, 2.0]])
    worst = held("float32", [[1.0, 2.0]], [[1.0, 9.0]])
    both = worse(worse(good, bad), worst)
    assert both == worse(worse(worst, good), bad)
    assert (both.passed, both.problem) == (False, worst.problem)
    assert (both.max_abs, both.argmax_agreement) == (7.0, 0.0)


def test_a_problem_is_not_lost_to_a_larger_difference_that_passed() -> None:
    wide, narrow = Tolerance(9.0, 0.0), Tolerance(0.1, 0.0)
    passing, failing = held("float32", [1.0], [5.0], wide), held("float32", [1.0], [2.0], narrow)
    assert worse(passing, failing).problem == worse(failing, passing).problem == failing.problem


@pytest.mark.parametrize(("value", "passed"), [(0.5, True), (0.49, False), (INF, True), (NAN, False), (-1.0, False)])
def test_a_person_lets_a_difference_pass_up_to_their_value(value: float, passed: bool) -> None:
    word = Allowed(value, "known")
    found = allow(held("float32", [1.0], [1.5]), word)
    assert found.passed is passed
    assert found.allowed == (word if passed else None)
    assert found.problem != ""


@pytest.mark.parametrize(
    ("dtype", "expected", "actual"),
    [
        ("float32", [1.0], [NAN]),
        ("float32", [NAN], [1.0]),
        ("string", [b"a"], [b"b"]),
        ("float32", [1.0, 2.0], [[1.0, 2.0]]),
    ],
)
def test_nobody_lets_nan_text_or_another_shape_pass(dtype: str, expected: Any, actual: Any) -> None:
    assert not allow(held(dtype, expected, actual), Allowed(INF, "whatever")).passed


def test_what_passed_by_itself_needs_no_word() -> None:
    assert allow(held("float32", [1.0], [1.0]), Allowed(1.0, "known")).allowed is None


NUMBERS = [name for name in NUMPY_DTYPES if name not in {"string", "bfloat16"}]
SHAPES = arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)


@st.composite
def tensors(draw: st.DrawFn, count: int) -> list[Array]:
    """Arrays of one dtype and shape, with NaN, infinities and extremes; NumPy's own dtypes, bfloat16 and strings."""
    kind, shape = draw(st.sampled_from([*NUMBERS, "bfloat16", "string"])), draw(SHAPES)
    if kind == "string":
        items = st.lists(st.binary(max_size=3), min_size=math.prod(shape), max_size=math.prod(shape))
        return [as_array(np.array([*draw(items), None], object)[:-1].reshape(shape), "string") for _ in range(count)]
    source = np.dtype("uint16") if kind == "bfloat16" else NUMPY_DTYPES[kind]
    return [draw(arrays.arrays(source, shape)).view(NUMPY_DTYPES[kind]) for _ in range(count)]


@given(tensors(1))
def test_equal_arrays_are_at_distance_nothing(made: list[Array]) -> None:
    found = compare("y", made[0], made[0].copy(), EXACT)
    assert found.passed
    assert (found.max_abs, found.max_rel, found.max_ulp or 0.0) == (0.0, 0.0, 0.0)


@given(tensors(2))
def test_whatever_differs_is_compared_without_a_word_of_numpys(made: list[Array]) -> None:
    one, other = compare("y", made[0], made[1], EXACT), compare("y", made[1], made[0], EXACT)
    assert one.passed is other.passed is (one.problem == "")
    assert one.max_abs == other.max_abs
    assert (one.max_abs > 0) is not one.passed
