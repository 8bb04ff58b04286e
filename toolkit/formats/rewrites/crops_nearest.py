"""ONNX: pieces cut out of images by their nearest pixels, which tf2onnx cuts as if they were to be smooth."""

from collections.abc import Sequence
from typing import Any

from toolkit.formats.rewrites.crops import cropped
from toolkit.formats.rewrites.replacing import replacing
from toolkit.formats.rewrites.retrace import Step


def _nearest(step: Step) -> Sequence[Any] | None:
    return cropped(step) if step.attr("method") == b"nearest" else None


REWRITE = replacing("crops_nearest", ("onnx",), {"CropAndResize": _nearest}, "gathers of the nearest pixels")
