"""Images of a known size resized by cubes, areas or wide filters, as two matrix products.

TFLite has none of these; tf2onnx takes the areas for lines, and onnxruntime weighs the edges of cubes otherwise.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from toolkit.formats.rewrites.replacing import replacing
from toolkit.formats.rewrites.retrace import Replacement, Step


def _by_attributes(step: Step) -> Sequence[Any] | None:
    size = step.tracing.folder.value(step.inputs[1])
    return None if size is None else _resized(step, size, [{}, {}])


def _by_scale(step: Step) -> Sequence[Any] | None:
    size = step.tracing.folder.value(step.inputs[1])
    scale, moved = (_known(tensor) for tensor in step.inputs[2:])
    if size is None or scale is None or moved is None:
        return None
    # Along the axis that stays as it is nothing is moved or scaled.
    sides = [{"scale": [scale[at], 1.0], "translation": [moved[at], 0.0]} for at in range(2)]
    return _resized(step, size, sides)


def _known(tensor: Any) -> Any:
    """The array that a tensor always holds, which may be computed from sizes; None where it is not known."""
    from tensorflow.python.client import pywrap_tf_session

    return pywrap_tf_session.TF_TryEvaluateConstant_wrapper(tensor.graph._c_graph, tensor._as_tf_output())


def _resized(step: Step, size: Any, sides: Sequence[Mapping[str, Any]]) -> Sequence[Any] | None:
    import tensorflow as tf

    images = step.inputs[0]
    if images.shape.rank is None or None in images.shape[1:3].as_list():
        return None
    rows, columns = (tf.constant(_weights(step, images.shape[1 + at], int(size[at]), sides[at])) for at in range(2))
    # [batch, height, width, channels] -> [batch, channels, height, width] and back.
    turned = tf.transpose(tf.cast(images, tf.float32), [0, 3, 1, 2])
    return [tf.transpose(tf.matmul(rows, tf.matmul(turned, columns, transpose_b=True)), [0, 2, 3, 1])]


def _weights(step: Step, before: int, after: int, further: Mapping[str, Any]) -> Any:
    """[after, before] float32: how much each pixel of an axis counts, which is what the op makes of it alone."""
    import tensorflow as tf

    names = [attribute.name for attribute in step.op.op_def.attr if attribute.name != "T"]
    values = {name: step.attr(name) for name in names}
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        alone = tf.eye(before)[None, :, :, None]
        made = getattr(tf.raw_ops, step.type)(images=alone, size=[after, before], **further, **values)
        return session.run(made)[0, :, :, 0]


TABLE: dict[str, Replacement] = {
    "ResizeBicubic": _by_attributes,
    "ResizeArea": _by_attributes,
    "ScaleAndTranslate": _by_scale,
}
REWRITE = replacing("resizing", ("tflite", "onnx"), TABLE, "matrix products")
