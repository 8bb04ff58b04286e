"""TFLite: non-max suppression that gives as many boxes as it keeps; the converter makes it as many as allowed."""

from collections.abc import Sequence
from typing import Any

from toolkit.formats.rewrites.replacing import replacing
from toolkit.formats.rewrites.retrace import Replacement, Step

_INPUTS = ("boxes", "scores", "max_output_size", "iou_threshold", "score_threshold", "soft_nms_sigma")


def _v3(step: Step) -> Sequence[Any]:
    kept, count = _padded(step, "NonMaxSuppressionV4")
    return [kept[:count]]


def _v4(step: Step) -> Sequence[Any] | None:
    if step.attr("pad_to_max_output_size"):
        return None
    kept, count = _padded(step, "NonMaxSuppressionV4")
    return [kept[:count], count]


def _v5(step: Step) -> Sequence[Any] | None:
    if step.attr("pad_to_max_output_size"):
        return None
    kept, values, count = _padded(step, "NonMaxSuppressionV5")
    return [kept[:count], values[:count], count]


def _padded(step: Step, op: str) -> Any:
    import tensorflow as tf

    inputs = dict(zip(_INPUTS, step.inputs, strict=False))  # what only V5 has is last
    return getattr(tf.raw_ops, op)(**inputs, pad_to_max_output_size=True)


TABLE: dict[str, Replacement] = {
    "NonMaxSuppressionV3": _v3,
    "NonMaxSuppressionV4": _v4,
    "NonMaxSuppressionV5": _v5,
}
REWRITE = replacing("boxes_open", ("tflite",), TABLE, "one with a fixed number of places, cut to those that are taken")
