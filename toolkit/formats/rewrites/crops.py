"""TFLite: pieces cut out of images and resized, by picking the neighbours of each of their points."""

from collections.abc import Sequence
from typing import Any

from toolkit.formats.rewrites.replacing import replacing
from toolkit.formats.rewrites.retrace import Replacement, Step


def cropped(step: Step) -> Sequence[Any] | None:
    """tensorflow/core/kernels/image/crop_and_resize_op.cc; outside the image is the extrapolation value."""
    import tensorflow as tf

    images, boxes, own, size = step.inputs
    known = step.tracing.folder.value(size)
    if known is None:
        return None
    images = tf.cast(images, tf.float32)
    height, width = tf.shape(images)[1], tf.shape(images)[2]
    y = _points(boxes[:, 0], boxes[:, 2], height, int(known[0]))
    x = _points(boxes[:, 1], boxes[:, 3], width, int(known[1]))
    inside = _inside(y, height)[:, :, None, None] & _inside(x, width)[:, None, :, None]
    chosen = _Picker(images, own)
    if step.attr("method") == b"nearest":
        values = chosen.at(_half_away(y), _half_away(x))
    else:
        top, left = tf.floor(y), tf.floor(x)
        down, right = (y - top)[:, :, None, None], (x - left)[:, None, :, None]
        above = _between(chosen.at(top, left), chosen.at(top, tf.math.ceil(x)), right)
        below = _between(chosen.at(tf.math.ceil(y), left), chosen.at(tf.math.ceil(y), tf.math.ceil(x)), right)
        values = _between(above, below, down)
    return [tf.where(inside, values, tf.constant(step.attr("extrapolation_value"), tf.float32))]


def _points(first: Any, last: Any, length: Any, count: int) -> Any:
    """[boxes, count]: where along an axis the points of each piece lie, in pixels."""
    import tensorflow as tf

    pixels = tf.cast(length - 1, tf.float32)
    if count == 1:
        return (0.5 * (first + last) * pixels)[:, None]
    step = (last - first) * pixels / (count - 1.0)
    return (first * pixels)[:, None] + tf.range(count, dtype=tf.float32)[None] * step[:, None]


def _inside(points: Any, length: Any) -> Any:
    import tensorflow as tf

    return tf.logical_and(points >= 0.0, points <= tf.cast(length - 1, tf.float32))


def _half_away(points: Any) -> Any:
    """C++'s round; nothing below zero is inside."""
    import tensorflow as tf

    return tf.floor(points + 0.5)


def _between(one: Any, other: Any, share: Any) -> Any:
    return one + (other - one) * share


class _Picker:
    """The pixels of an image of a batch, for each box those of its own image.

    Args:
        images: [batch, height, width, channels].
        own: [boxes], the image of each.
    """

    def __init__(self, images: Any, own: Any) -> None:
        import tensorflow as tf

        self._shape = tf.shape(images)
        self._pixels = tf.reshape(images, [-1, self._shape[3]])
        self._first = own[:, None, None] * (self._shape[1] * self._shape[2])

    def at(self, rows: Any, columns: Any) -> Any:
        """[boxes, rows, columns, channels]; beyond the edge its last pixel."""
        import tensorflow as tf

        height, width = self._shape[1], self._shape[2]
        rows = tf.clip_by_value(tf.cast(rows, tf.int32), 0, height - 1)[:, :, None]
        columns = tf.clip_by_value(tf.cast(columns, tf.int32), 0, width - 1)[:, None, :]
        return tf.gather(self._pixels, self._first + rows * width + columns)


TABLE: dict[str, Replacement] = {"CropAndResize": cropped}
REWRITE = replacing("crops", ("tflite",), TABLE, "gathers of the neighbours of each point")
