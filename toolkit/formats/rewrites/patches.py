"""Patches of images, which TFLite lacks and tf2onnx gets wrong, as blocks or by a convolution that only picks."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from toolkit.formats.rewrites.replacing import replacing
from toolkit.formats.rewrites.retrace import Replacement, Step


def _patches(step: Step) -> Sequence[Any] | None:
    import tensorflow as tf

    images = step.inputs[0]
    channels = images.shape[-1] if images.shape.rank else None
    if channels is None or not images.dtype.is_floating:
        return None
    (height, width), strides, rates = (step.attr(name)[1:3] for name in ("ksizes", "strides", "rates"))
    padding = step.attr("padding").decode()
    known = None not in images.shape[1:3].as_list()
    if known and height == width and strides == [height, width] and rates == [1, 1] and padding == "VALID":
        rows, columns = (size // height * height for size in images.shape[1:3].as_list())
        return [tf.nn.space_to_depth(images[:, :rows, :columns], height)] if height > 1 else [images]
    count = height * width * channels
    kernel = tf.constant(np.eye(count).reshape(height, width, channels, count), images.dtype)
    return [tf.nn.conv2d(images, kernel, strides, padding, dilations=rates)]


TABLE: dict[str, Replacement] = {"ExtractImagePatches": _patches}
REWRITE = replacing("patches", ("tflite", "onnx"), TABLE, "blocks, or a convolution that picks")
