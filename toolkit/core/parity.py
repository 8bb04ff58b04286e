"""How far a candidate's outputs are from the baseline's, and whether that is allowed."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True, slots=True)
class Tolerance:
    """|actual - expected| <= atol + rtol * |expected|."""

    atol: float
    rtol: float


class ComputesInFloat32(str):  # a str that travels between processes
    """A note of an export: the artifact computes in float32 what its signature declares in a finer float dtype."""


class Unproven(str):
    """A note of an export: why no runtime here can open what was written, so that nothing can be proven of it."""


EXACT = Tolerance(0.0, 0.0)
# DESIGN of the bundle: what float arithmetic in another order and with other kernels may change.
DEFAULT_TOLERANCES: Mapping[str, Tolerance] = MappingProxyType(
    {
        "float64": Tolerance(1e-9, 1e-7),
        "complex128": Tolerance(1e-9, 1e-7),
        "float32": Tolerance(1e-5, 1e-4),
        "complex64": Tolerance(1e-5, 1e-4),
        "float16": Tolerance(1e-2, 1e-2),
        "bfloat16": Tolerance(1e-2, 1e-2),
    }
)


@dataclass(frozen=True, slots=True)
class Allowed:
    """A difference that a person let pass, and why."""

    value: float
    reason: str


@dataclass(frozen=True, slots=True)
class Deviation:
    """One output of a candidate against the baseline, over all cases of a check.

    Args:
        max_abs: largest |actual - expected|; infinite where shape, dtype or NaN differ.
        max_rel: the same over |expected|.
        max_ulp: in units in the last place of the output's dtype; None where that has no meaning.
        argmax_agreement: share of rows whose largest value is at the same place; None for outputs without rows.
        tolerance: what it was judged by.
        passed: the verdict.
        problem: what is wrong, in words, with worst index, expected and actual; empty when it passed.
        allowed: set when the verdict rests on a person's word.
    """

    max_abs: float
    max_rel: float
    max_ulp: float | None
    argmax_agreement: float | None
    tolerance: Tolerance
    passed: bool
    problem: str = ""
    allowed: Allowed | None = None


@dataclass(frozen=True)
class Check:
    """One signature of one artifact, in one runtime."""

    signature: str
    runtime: str
    batch_sizes: tuple[int, ...]
    outputs: Mapping[str, Deviation]
    problems: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """No output and nothing else was found wrong."""
        return not self.problems and all(deviation.passed for deviation in self.outputs.values())


@dataclass(frozen=True)
class Parity:
    """The verdict on an artifact: pass, fail or skipped; a skipped one was not made, and the reason says why."""

    status: str
    reason: str = ""
    checks: tuple[Check, ...] = field(default_factory=tuple)

    @property
    def max_abs(self) -> float | None:
        """The largest difference over all checks; None when nothing was compared."""
        found = [deviation.max_abs for check in self.checks for deviation in check.outputs.values()]
        return max(found) if found else None

    @property
    def argmax_agreement(self) -> float | None:
        """The lowest share of rows with the same argmax; None where no output has one."""
        deviations = [deviation for check in self.checks for deviation in check.outputs.values()]
        found = [deviation.argmax_agreement for deviation in deviations if deviation.argmax_agreement is not None]
        return min(found) if found else None


def parity_to_json(parity: Parity) -> dict[str, Any]:
    """Status, reason and checks; numbers that are not finite stand as strings, since JSON has none."""
    return {
        "status": parity.status,
        "reason": parity.reason,
        "checks": [
            {
                "signature": check.signature,
                "runtime": check.runtime,
                "batch_sizes": list(check.batch_sizes),
                "outputs": {name: _deviation_to_json(deviation) for name, deviation in check.outputs.items()},
                "problems": list(check.problems),
            }
            for check in parity.checks
        ],
    }


def parity_from_json(entry: Mapping[str, Any]) -> Parity:
    """The parity that `parity_to_json` wrote."""
    checks = (
        Check(
            signature=check["signature"],
            runtime=check["runtime"],
            batch_sizes=tuple(check["batch_sizes"]),
            outputs={name: _deviation_from_json(deviation) for name, deviation in check["outputs"].items()},
            problems=tuple(check["problems"]),
        )
        for check in entry["checks"]
    )
    return Parity(entry["status"], entry["reason"], tuple(checks))


def _deviation_to_json(deviation: Deviation) -> dict[str, Any]:
    allowed = deviation.allowed
    return {
        "max_abs": _number(deviation.max_abs),
        "max_rel": _number(deviation.max_rel),
        "max_ulp": None if deviation.max_ulp is None else _number(deviation.max_ulp),
        "argmax_agreement": deviation.argmax_agreement,
        "atol": deviation.tolerance.atol,
        "rtol": deviation.tolerance.rtol,
        "status": "pass" if deviation.passed else "fail",
        "problem": deviation.problem,
        "allowed": None if allowed is None else {"value": _number(allowed.value), "reason": allowed.reason},
    }


def _deviation_from_json(entry: Mapping[str, Any]) -> Deviation:
    allowed = entry["allowed"]
    return Deviation(
        max_abs=float(entry["max_abs"]),
        max_rel=float(entry["max_rel"]),
        max_ulp=None if entry["max_ulp"] is None else float(entry["max_ulp"]),
        argmax_agreement=entry["argmax_agreement"],
        tolerance=Tolerance(entry["atol"], entry["rtol"]),
        passed=entry["status"] == "pass",
        problem=entry["problem"],
        allowed=Allowed(float(allowed["value"]), allowed["reason"]) if allowed else None,
    )


def _number(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)
