"""Non-max suppression over all classes at once, which TFLite lacks, as so many choices of the best box that is left."""

from collections.abc import Sequence
from typing import Any

from toolkit.formats.rewrites.replacing import replacing
from toolkit.formats.rewrites.retrace import Replacement, Step

# Each choice takes about twenty ops.
MOST_CHOICES = 100


def combined(step: Step) -> Sequence[Any] | None:
    """The four outputs; None where a limit or a size is not known."""
    import tensorflow as tf

    boxes, scores = step.inputs[:2]
    per_class, total, limit, least = (_number(step, at) for at in range(2, 6))
    known = boxes.shape[1:3].as_list() + scores.shape[1:].as_list()
    if per_class is None or total is None or limit is None or least is None:
        return None
    if None in known or per_class > MOST_CHOICES:
        return None
    count, classes = scores.shape[1], scores.shape[2]
    # [batch, classes, count]: each class by itself, over its own boxes or those that all classes share.
    left = tf.transpose(scores, [0, 2, 1])
    sides = corners(tf.transpose(boxes, [0, 2, 1, 3]))
    left = tf.where(left > least, left, -1.0)
    picked, kept = [], []
    for _ in range(min(int(per_class), count)):
        best = tf.argmax(left, -1, output_type=tf.int32)
        chosen = tf.one_hot(best, count)
        score = tf.reduce_max(left, -1)
        picked.append(score)
        kept.append(chosen)
        shared = overlap([tf.reduce_sum(part * chosen, -1, keepdims=True) for part in sides], sides)
        left = tf.where(tf.logical_or(shared > limit, chosen > 0.0), -1.0, left)
    return _ranked(step, boxes, tf.stack(picked, 2), tf.stack(kept, 2), (int(per_class), int(total), classes))


def _number(step: Step, at: int) -> float | None:
    import tensorflow as tf

    value = tf.get_static_value(step.inputs[at])
    return None if value is None else float(value)


def corners(boxes: Any) -> list[Any]:
    """Top, left, bottom and right, whichever two corners were given."""
    import tensorflow as tf

    a, b, c, d = tf.unstack(boxes, 4, -1)
    return [tf.minimum(a, c), tf.minimum(b, d), tf.maximum(a, c), tf.maximum(b, d)]


def overlap(one: Sequence[Any], other: Sequence[Any]) -> Any:
    """The intersection of boxes over their union."""
    import tensorflow as tf

    height = tf.maximum(tf.minimum(one[2], other[2]) - tf.maximum(one[0], other[0]), 0.0)
    width = tf.maximum(tf.minimum(one[3], other[3]) - tf.maximum(one[1], other[1]), 0.0)
    shared = height * width
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    union = areas[0] + areas[1] - shared
    empty = tf.logical_or(areas[0] <= 0.0, areas[1] <= 0.0)
    return tf.where(empty, 0.0, shared / tf.where(union > 0.0, union, 1.0))


def _ranked(step: Step, boxes: Any, scores: Any, kept: Any, sizes: tuple[int, int, int]) -> Sequence[Any]:
    """The best of all classes; zeros where there are not so many."""
    import tensorflow as tf

    per_class, total, classes = sizes
    rounds = scores.shape[2]
    flat = tf.reshape(scores, [-1, classes * rounds])
    # Each class over its own boxes, or all over the same.
    chosen = tf.matmul(kept, tf.broadcast_to(tf.transpose(boxes, [0, 2, 1, 3]), _own(boxes, classes)))
    chosen = tf.reshape(chosen, [-1, classes * rounds, 4])
    wanted = min(total, classes * per_class) if step.attr("pad_per_class") else total
    best, at = tf.math.top_k(flat, min(wanted, classes * rounds))
    good = best > -1.0
    found = tf.gather(chosen, at, batch_dims=1)
    found = tf.clip_by_value(found, 0.0, 1.0) if step.attr("clip_boxes") else found
    missing = wanted - min(wanted, classes * rounds)
    outputs = [
        tf.where(tf.expand_dims(good, -1), found, 0.0),
        tf.where(good, best, 0.0),
        tf.where(good, tf.cast(tf.math.floordiv(at, rounds), tf.float32), 0.0),
    ]
    padded = [tf.pad(value, [[0, 0], [0, missing]] + [[0, 0]] * (value.shape.rank - 2)) for value in outputs]
    return [*padded, tf.reduce_sum(tf.cast(good, tf.int32), 1)]


def _own(boxes: Any, classes: int) -> Any:
    import tensorflow as tf

    return [tf.shape(boxes)[0], classes, boxes.shape[1], 4]


TABLE: dict[str, Replacement] = {"CombinedNonMaxSuppression": combined}
REWRITE = replacing("boxes", ("tflite",), TABLE, "one choice after another")
