"""Pooling over volumes, which TFLite lacks, as pooling over planes and then over depth."""

from collections.abc import Sequence
from typing import Any

from toolkit.formats.rewrites.replacing import replacing
from toolkit.formats.rewrites.retrace import Replacement, Step


def _pooled(kind: str) -> Replacement:
    """Both kinds can be taken apart: a mean over a box is a mean of means, also where padding is left out of it."""

    def replaced(step: Step) -> Sequence[Any] | None:
        import tensorflow as tf

        (x,) = step.inputs
        size, strides, padding = step.attr("ksize"), step.attr("strides"), step.attr("padding").decode()
        if step.attr("data_format") != b"NDHWC" or size[0] != 1 or size[4] != 1 or x.shape.rank != 5:
            return None
        pool = {"MAX": tf.nn.max_pool2d, "AVG": tf.nn.avg_pool2d}[kind]
        shape = _dims(x)
        planes = tf.reshape(x, [-1, *shape[2:]])
        planes = pool(planes, size[2:4], strides[2:4], padding)
        height, width = _dims(planes)[1:3]
        depth = tf.reshape(planes, [-1, shape[1], height * width, shape[4]])
        depth = pool(depth, [size[1], 1], [strides[1], 1], padding)
        return [tf.reshape(depth, [-1, _dims(depth)[1], height, width, shape[4]])]

    return replaced


def _dims(x: Any) -> list[Any]:
    """Sizes as numbers where they are known, else as tensors."""
    import tensorflow as tf

    return [tf.shape(x)[at] if dim is None else dim for at, dim in enumerate(x.shape.as_list())]


TABLE: dict[str, Replacement] = {"MaxPool3D": _pooled("MAX"), "AvgPool3D": _pooled("AVG")}
REWRITE = replacing("pooling", ("tflite",), TABLE, "pooling over planes and then over depth")
