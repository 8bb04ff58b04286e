"""TFLite: differences and extremes scattered into a tensor, by scattered sums and extremes of segments."""

from collections.abc import Sequence
from typing import Any

from toolkit.formats.rewrites.replacing import replacing
from toolkit.formats.rewrites.retrace import Replacement, Step


def _less(step: Step) -> Sequence[Any]:
    import tensorflow as tf

    tensor, indices, updates = step.inputs
    return [tf.tensor_scatter_nd_add(tensor, indices, -updates)]


def _extreme(operation: str) -> Replacement:
    """The extreme of what goes to each place, and of what is there; a place without updates keeps its value."""

    def replaced(step: Step) -> Sequence[Any] | None:
        import tensorflow as tf

        tensor, indices, updates = step.inputs
        depth = indices.shape[-1] if indices.shape.rank else None
        if depth is None or tensor.shape.rank is None:
            return None
        shape = tf.shape(tensor)
        # The first dimensions become one, and the indices the places in it.
        sizes = tf.unstack(shape[:depth], depth)
        place, count = tf.zeros_like(indices[..., 0]), tf.constant(1)
        for at in range(depth):
            place = place * tf.cast(sizes[at], indices.dtype) + indices[..., at]
            count = count * sizes[at]
        rows = tf.reshape(updates, tf.concat([[-1], shape[depth:]], 0))
        segments = getattr(tf.math, f"unsorted_segment_{operation}")
        found = segments(rows, tf.reshape(tf.cast(place, tf.int32), [-1]), count)
        found = tf.reshape(found, shape)
        return [tf.maximum(tensor, found) if operation == "max" else tf.minimum(tensor, found)]

    return replaced


TABLE: dict[str, Replacement] = {
    "TensorScatterSub": _less,
    "TensorScatterMax": _extreme("max"),
    "TensorScatterMin": _extreme("min"),
}
REWRITE = replacing("scatters", ("tflite",), TABLE, "sums and extremes that it has")
