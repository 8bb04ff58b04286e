"""TFLite: non-max suppression that gives as many boxes as it keeps; the converter makes it as many as allowed."""

from collections.abc import Sequence
from typing import Any

from toolkit.formats.rewrites.replacing import replacing
from toolkit.formats.rewrites.retrace import Replacement, Step


def _v3(step: Step) -> Sequence[Any]:
    kept, count = _v4_op(step)
    return [kept[:count]]


def _v4(step: Step) -> Sequence[Any] | None:
    if step.attr("pad_to_max_output_size"):
        return None
    kept, count = _v4_op(step)
    return [kept[:count], count]


def _v4_op(step: Step) -> Any:
    import tensorflow as tf

    boxes, scores, most, limit, least = step.inputs
    return tf.raw_ops.NonMaxSuppressionV4(
        boxes=boxes,
        scores=scores,
        max_output_size=most,
        iou_threshold=limit,
        score_threshold=least,
        pad_to_max_output_size=True,
    )


def _v5(step: Step) -> Sequence[Any] | None:
    import tensorflow as tf

    if step.attr("pad_to_max_output_size"):
        return None
    boxes, scores, most, limit, least, sigma = step.inputs
    kept, values, count = tf.raw_ops.NonMaxSuppressionV5(
        boxes=boxes,
        scores=scores,
        max_output_size=most,
        iou_threshold=limit,
        score_threshold=least,
        soft_nms_sigma=sigma,
        pad_to_max_output_size=True,
    )
    return [kept[:count], values[:count], count]


TABLE: dict[str, Replacement] = {
    "NonMaxSuppressionV3": _v3,
    "NonMaxSuppressionV4": _v4,
    "NonMaxSuppressionV5": _v5,
}
REWRITE = replacing("boxes_open", ("tflite",), TABLE, "one with a fixed number of places, cut to those that are taken")
