"""ONNX: non-max suppression where each class has boxes of its own, which tf2onnx does not convert."""

from collections.abc import Sequence
from typing import Any

from toolkit.formats.rewrites.boxes import combined
from toolkit.formats.rewrites.replacing import replacing
from toolkit.formats.rewrites.retrace import Step


def _combined(step: Step) -> Sequence[Any] | None:
    boxes = step.inputs[0].shape
    return None if boxes.rank is None or boxes[2] in {None, 1} else combined(step)


REWRITE = replacing("boxes_by_class", ("onnx",), {"CombinedNonMaxSuppression": _combined}, "one choice after another")
