"""Turns two arrays and a tolerance into a Deviation."""

import math
from dataclasses import replace
from typing import Any

import numpy as np

from toolkit.core.parity import Allowed, Deviation, Tolerance
from toolkit.core.tensors import FLOATS, Array, dtype_name

_COMPLEX = frozenset({"complex64", "complex128"})


def compare(name: str, expected: Array, actual: Array, tolerance: Tolerance) -> Deviation:
    """How far `actual` is from `expected`, and whether |actual - expected| <= atol + rtol |expected| everywhere.

    NaN agrees with NaN and an infinity with the same infinity; anything else against either is infinitely far.
    """
    if dtype_name(expected.dtype) != dtype_name(actual.dtype):
        return _hopeless(
            f"output '{name}' is {dtype_name(actual.dtype)}, expected {dtype_name(expected.dtype)}", tolerance
        )
    if expected.shape != actual.shape:
        return _hopeless(f"output '{name}' has shape {list(actual.shape)}, expected {list(expected.shape)}", tolerance)
    kind = dtype_name(expected.dtype)
    if kind in FLOATS or kind in _COMPLEX:
        return _compare_floats(name, expected, actual, tolerance)
    return _compare_exact(name, expected, actual)


def worse(one: Deviation, other: Deviation) -> Deviation:
    """Both deviations of one output as one: the larger numbers, and the problem of the larger difference."""
    ulps = [found for found in (one.max_ulp, other.max_ulp) if found is not None]
    shares = [found for found in (one.argmax_agreement, other.argmax_agreement) if found is not None]
    return Deviation(
        max_abs=max(one.max_abs, other.max_abs),
        max_rel=max(one.max_rel, other.max_rel),
        max_ulp=max(ulps) if ulps else None,
        argmax_agreement=min(shares) if shares else None,
        tolerance=one.tolerance,
        passed=one.passed and other.passed,
        problem=max(one, other, key=lambda found: (bool(found.problem), found.max_abs)).problem,
    )


def allow(deviation: Deviation, allowed: Allowed | None) -> Deviation:
    """The deviation, passed on a person's word where its largest difference is not above what they allow.

    Another shape, dtype or text, or a NaN, is no difference that has a size: nobody can let it pass.
    """
    if deviation.passed or allowed is None or not math.isfinite(deviation.max_abs):
        return deviation
    if not deviation.max_abs <= allowed.value:
        return deviation
    return replace(deviation, passed=True, allowed=allowed)


def _hopeless(problem: str, tolerance: Tolerance) -> Deviation:
    return Deviation(float("inf"), float("inf"), None, None, tolerance, passed=False, problem=problem)


def _compare_exact(name: str, expected: Array, actual: Array) -> Deviation:
    exact = Tolerance(0.0, 0.0)
    differs = np.asarray(expected != actual)
    if not differs.any():
        return Deviation(0.0, 0.0, None, None, exact, passed=True)
    if expected.dtype.kind in "biu":
        gap = _whole_gap(expected, actual)
        size = np.maximum(np.abs(expected.astype(np.float64)), 1.0)
        largest, share = float(gap.max()), float((gap / size).max())
    else:
        gap, largest, share = differs, math.inf, math.inf  # two texts have no distance
    worst = np.unravel_index(int(gap.argmax()), gap.shape)
    problem = f"output '{name}' at {_place(worst)}: expected {_text(expected[worst])}, actual {_text(actual[worst])}"
    return Deviation(largest, share, None, None, exact, passed=False, problem=problem)


def _whole_gap(expected: Array, actual: Array) -> Array:
    # Whole numbers of 64 bits do not fit into a float; modulo 2**64 their distance is exact whatever their sign.
    high, low = np.maximum(expected, actual), np.minimum(expected, actual)
    with np.errstate(over="ignore"):
        return np.asarray(high.astype(np.uint64) - low.astype(np.uint64))


def _text(value: Any) -> str:
    return f"{value.item() if isinstance(value, np.generic) else value!r:.60}"


def _compare_floats(name: str, expected: Array, actual: Array, tolerance: Tolerance) -> Deviation:
    wide = np.complex128 if expected.dtype.kind == "c" else np.float64
    want, have = expected.astype(wide), actual.astype(wide)
    if want.size == 0:
        return Deviation(0.0, 0.0, None, None, tolerance, passed=True)
    same = _same(want.real, have.real) & _same(want.imag, have.imag)
    with np.errstate(invalid="ignore", over="ignore"):
        gap = np.where(same, 0.0, np.abs(have - want))
        gap = np.where(np.isnan(gap), np.inf, gap)  # NaN on one side only
        size = np.where(np.isfinite(want), np.abs(want), 0.0)
        excess = gap - (tolerance.atol + tolerance.rtol * size)
        relative = np.where(same, 0.0, gap / np.maximum(size, np.finfo(np.float64).tiny))
    at = np.unravel_index(int(excess.argmax()), excess.shape)
    passed = bool(excess[at] <= 0)
    return Deviation(
        max_abs=float(gap.max()),
        max_rel=float(min(relative.max(), np.finfo(np.float64).max)) if np.isfinite(gap).all() else math.inf,
        max_ulp=_ulps(expected, gap),
        argmax_agreement=_argmax_agreement(want, have),
        tolerance=tolerance,
        passed=passed,
        problem="" if passed else _float_problem(name, expected, actual, tolerance, at),
    )


def _same(want: Array, have: Array) -> Array:
    return np.asarray((want == have) | (np.isnan(want) & np.isnan(have)))


def _float_problem(name: str, expected: Array, actual: Array, tolerance: Tolerance, at: tuple[np.intp, ...]) -> str:
    limits = f"atol {tolerance.atol:g}, rtol {tolerance.rtol:g}"
    # NumPy's own text of a number has as many digits as it takes to tell it from its neighbours.
    return f"output '{name}' at {_place(at)}: expected {expected[at]!s}, actual {actual[at]!s} ({limits})"


def _ulps(expected: Array, gap: Array) -> float | None:
    if expected.dtype.kind != "f":  # bfloat16 and complex numbers have no np.spacing
        return None
    largest = np.finfo(expected.dtype).max
    # The largest number's spacing reaches beyond the dtype; the one below it has the same.
    size = np.minimum(
        np.abs(np.where(np.isfinite(expected), expected, 0)), np.nextafter(largest, largest.dtype.type(0))
    )
    with np.errstate(over="ignore"):
        return float((gap / np.spacing(size).astype(np.float64)).max())


def _argmax_agreement(want: Array, have: Array) -> float | None:
    if want.ndim < 2 or want.shape[-1] < 2 or want.dtype.kind == "c":
        return None
    return float((want.argmax(axis=-1) == have.argmax(axis=-1)).mean())


def _place(at: tuple[np.intp, ...]) -> str:
    return "[" + ", ".join(str(int(index)) for index in at) + "]"
