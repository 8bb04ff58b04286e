"""Fourier transforms as products with the matrix of their sines and cosines, complex numbers as pairs of real ones."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from toolkit.formats.rewrites.complex_numbers import COMPLEX, Complex, held
from toolkit.formats.rewrites.frozen import Frozen
from toolkit.formats.rewrites.replacing import noted
from toolkit.formats.rewrites.retrace import Replacement, Step, retraced
from toolkit.formats.rewrites.rewrite import Rewrite, Stage
from toolkit.graphs.census import ops_by_type

# A matrix of this many points takes 64 MB; beyond it a fast transform is worth waiting for.
MOST_POINTS = 4096
_BY = "products with matrices of sines and cosines"


def _waves(points: int, bins: int) -> tuple[Any, Any]:
    """Cosines and sines [points, bins], exact to float32 for any product of indices."""
    turns = np.outer(np.arange(points), np.arange(bins)) % points
    angles = 2.0 * np.pi * turns / points
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


def _length(step: Step) -> int | None:
    value = step.tracing.folder.value(step.inputs[1])
    return None if value is None or not 0 < int(value[-1]) <= MOST_POINTS else int(value[-1])


def _rfft(step: Step) -> Sequence[Any] | None:
    points = _length(step)
    return None if points is None else [_real_forward(step.inputs[0], points)]


def _real_forward(x: Any, points: int) -> Complex:
    import tensorflow as tf

    cosines, sines = _waves(points, points // 2 + 1)
    x = x[..., :points] if x.shape[-1] != points else x
    return Complex(tf.matmul(x, tf.constant(cosines)), tf.matmul(x, tf.constant(-sines)))


def _irfft(step: Step) -> Sequence[Any] | None:
    import tensorflow as tf

    points, value = _length(step), step.inputs[0]
    if points is None or not held(value):
        return None
    bins = points // 2 + 1
    cosines, sines = _waves(points, bins)
    # A real wave's upper half mirrors the lower one: every bin counts twice but the first and an even transform's last.
    weights = np.full(bins, 2.0 / points, np.float32)
    weights[0] = 1.0 / points
    if points % 2 == 0:
        weights[-1] = 1.0 / points
    real, imag = (part[..., :bins] if part.shape[-1] != bins else part for part in (value.real, value.imag))
    made = tf.matmul(real, tf.constant((cosines * weights).T)) - tf.matmul(imag, tf.constant((sines * weights).T))
    return [made]


def _fft(axes: int, *, inverse: bool) -> Replacement:
    def replaced(step: Step) -> Sequence[Any] | None:
        value = step.inputs[0]
        if not held(value):
            return None
        points = value.shape[-axes:].as_list()
        if any(count is None or count > MOST_POINTS for count in points):
            return None
        value = _along(value, points[-1], inverse=inverse)
        if axes == 2:
            value = _turned(_along(_turned(value), points[-2], inverse=inverse))
        return [value]

    return replaced


def _along(value: Complex, points: int, *, inverse: bool) -> Complex:
    """The transform of the last axis."""
    import tensorflow as tf

    cosines, sines = _waves(points, points)
    if inverse:
        cosines, sines = cosines / points, -sines / points
    cosine, sine = tf.constant(cosines), tf.constant(sines)
    real = tf.matmul(value.real, cosine) + tf.matmul(value.imag, sine)
    return Complex(real, tf.matmul(value.imag, cosine) - tf.matmul(value.real, sine))


def _turned(value: Complex) -> Complex:
    import tensorflow as tf

    return Complex(tf.linalg.matrix_transpose(value.real), tf.linalg.matrix_transpose(value.imag))


def _rfft2d(step: Step) -> Sequence[Any] | None:
    points, rows = _length(step), step.inputs[0].shape[-2]
    if points is None or rows is None or rows > MOST_POINTS:
        return None
    value = _real_forward(step.inputs[0], points)
    return [_turned(_along(_turned(value), rows, inverse=False))]


TRANSFORMS: dict[str, Replacement] = {
    "RFFT": _rfft,
    "IRFFT": _irfft,
    "RFFT2D": _rfft2d,
    "FFT": _fft(1, inverse=False),
    "IFFT": _fft(1, inverse=True),
    "FFT2D": _fft(2, inverse=False),
    "IFFT2D": _fft(2, inverse=True),
}
TABLE = COMPLEX | {kind: noted(replacement, _BY) for kind, replacement in TRANSFORMS.items()}


def _wanted(graph_def: Any) -> bool:
    found = ops_by_type(graph_def)
    return any(kind in found for kind in (*TRANSFORMS, "Complex", "ComplexAbs", "Real"))


def _apply(frozen: Frozen) -> Frozen:
    changed = retraced(frozen, TABLE)
    return replace(changed, notes=(*changed.notes, "complex numbers are held as pairs of real ones"))


REWRITE = Rewrite("spectra", ("tflite", "onnx"), Stage.OPS, _wanted, _apply)
