"""TFLite: rows moved round in a circle, by picking each from where it was."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from toolkit.formats.rewrites.replacing import replacing
from toolkit.formats.rewrites.retrace import Replacement, Step


def _roll(step: Step) -> Sequence[Any] | None:
    """Axis after axis; an axis that is named twice moves twice."""
    import tensorflow as tf

    x, shifts, axes = step.inputs
    known = step.tracing.folder.value(axes)
    if known is None or x.shape.rank is None:
        return None
    shifts = tf.reshape(shifts, [-1])
    for at, axis in enumerate(np.ravel(known)):
        length = tf.shape(x)[axis]
        places = tf.math.floormod(tf.range(length) - tf.cast(shifts[at], tf.int32), length)
        # Not a join of two slices: LiteRT joins an empty one wrongly.
        x = tf.gather(x, places, axis=int(axis))
    return [x]


TABLE: dict[str, Replacement] = {"Roll": _roll}
REWRITE = replacing("rolling", ("tflite",), TABLE, "picking by place")
