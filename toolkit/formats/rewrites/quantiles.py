"""Inverses of distribution functions, which no format has, as polynomials."""

import math
from collections.abc import Sequence
from typing import Any

from toolkit.formats.rewrites.error_functions import erfinv
from toolkit.formats.rewrites.replacing import replacing
from toolkit.formats.rewrites.retrace import Replacement, Step


def _erfinv(step: Step) -> Sequence[Any]:
    return [erfinv(step.inputs[0])]


def _ndtri(step: Step) -> Sequence[Any]:
    return [math.sqrt(2.0) * erfinv(2.0 * step.inputs[0] - 1.0)]


TABLE: dict[str, Replacement] = {"Erfinv": _erfinv, "Ndtri": _ndtri}
REWRITE = replacing("quantiles", ("tflite", "onnx"), TABLE, "polynomials")
