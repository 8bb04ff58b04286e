"""ONNX: non-max suppression that lowers the scores of boxes which overlap, as one choice after another."""

from collections.abc import Sequence
from typing import Any

from toolkit.formats.rewrites.boxes import MOST_CHOICES, corners, overlap
from toolkit.formats.rewrites.replacing import replacing
from toolkit.formats.rewrites.retrace import Replacement, Step

_GONE = -1e30


def _soft(step: Step) -> Sequence[Any] | None:
    """Indices, scores and their number; None where scores are not lowered, or a limit is not known."""
    import tensorflow as tf

    boxes, scores = step.inputs[:2]
    most, _, _, sigma = (tf.get_static_value(tensor) for tensor in step.inputs[2:6])
    if most is None or sigma is None or sigma <= 0.0 or most > MOST_CHOICES:
        return None
    limit, least = step.inputs[3:5]
    sides = corners(boxes)
    # One place more than there are boxes, so that there is always a best.
    left = tf.concat([tf.where(scores > least, scores, _GONE), [_GONE]], 0)
    sides = [tf.concat([side, [0.0]], 0) for side in sides]
    count = tf.shape(left)[0]
    picked, kept = [], []
    for _ in range(int(most)):
        best = tf.argmax(left, output_type=tf.int32)
        picked.append(best)
        kept.append(tf.reduce_max(left))
        shared = overlap([tf.gather(side, best) for side in sides], sides)
        lowered = left * tf.where(shared <= limit, tf.exp(-0.5 / float(sigma) * shared * shared), 0.0)
        gone = tf.logical_or(lowered <= least, tf.equal(tf.range(count), best))
        left = tf.where(tf.logical_or(gone, left <= _GONE), _GONE, lowered)
    found = tf.stack(kept)
    valid = found > _GONE
    number = tf.reduce_sum(tf.cast(valid, tf.int32))
    indices, values = tf.where(valid, tf.stack(picked), 0), tf.where(valid, found, 0.0)
    if step.attr("pad_to_max_output_size"):
        return [indices, values, number]
    return [indices[:number], values[:number], number]


TABLE: dict[str, Replacement] = {"NonMaxSuppressionV5": _soft}
REWRITE = replacing("boxes_soft", ("onnx",), TABLE, "one choice after another")
