"""What is known of a graph's values while it is built: counters, shapes and conditions become constants."""

from collections.abc import Sequence
from typing import Any

import numpy as np

# Counters, shapes and conditions; folding larger ones would be the converters' work.
MOST_ELEMENTS = 1024
_SHAPES = {"Shape", "ShapeN", "Size", "Rank"}


class Folder:
    """Finds out small integers and bools that do not depend on the inputs of the graph.

    Args:
        outer: what is known of the graph around this one.
    """

    def __init__(self, outer: "Folder | None" = None) -> None:
        self._outer = outer
        self._known: dict[int, Any] = {}
        self._shaped: set[int] = set()
        self._constants: dict[Any, Any] = {}
        self._alive: list[Any] = []

    def value(self, tensor: Any) -> Any:
        """The array that a tensor of the new graph always holds; None where it is not known."""
        if id(tensor) in self._known or self._outer is None:
            return self._known.get(id(tensor))
        return self._outer.value(tensor)

    def known_outputs(self, step: Any) -> tuple[Any, ...] | None:
        """The one constant that stands for all of the same value."""
        if step.type != "Const":
            return None
        tensor = step.op.get_attr("value")
        shape = [dim.size for dim in tensor.tensor_shape.dim]
        if tensor.dtype == 7 or int(np.prod(shape)) > MOST_ELEMENTS:  # DT_STRING
            return None
        import tensorflow as tf

        return (self.constant(tf.make_ndarray(tensor)),)

    def constant(self, array: Any) -> Any:
        """A constant of the new graph that `value` knows."""
        import tensorflow as tf

        key = (array.dtype.str, array.dtype.name, array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = tensor = tf.constant(array)
            self._known[id(tensor)] = array
        return self._constants[key]

    def learned(self, op: Any, inputs: Sequence[Any], made: tuple[Any, ...]) -> tuple[Any, ...]:
        """The outputs of a new op, constants in place of those whose value is certain."""
        self._alive += made  # an id must stay its tensor's
        if op.op_def.is_stateful or not made or not self._foldable(op, inputs):
            return made
        return tuple(self._evaluated(tensor) for tensor in made)

    def _foldable(self, op: Any, inputs: Sequence[Any]) -> bool:
        if op.type in _SHAPES:
            return True
        return bool(inputs) and all(self.value(value) is not None or id(value) in self._shaped for value in inputs)

    def _evaluated(self, tensor: Any) -> Any:
        from tensorflow.python.client import pywrap_tf_session

        count = tensor.shape.num_elements()
        if count is None or count > MOST_ELEMENTS or not (tensor.dtype.is_integer or tensor.dtype.is_bool):
            return tensor
        # Sees single dimensions of shapes that are known in part, which tf.get_static_value does not.
        array = pywrap_tf_session.TF_TryEvaluateConstant_wrapper(tensor.graph._c_graph, tensor._as_tf_output())
        array = _sliced_shape(tensor) if array is None else array
        if array is None:
            self._shaped.add(id(tensor))
            return tensor
        return self.constant(np.asarray(array))


def _sliced_shape(tensor: Any) -> Any:
    """The sizes that a slice of a shape takes, where these are known though others are not."""
    from tensorflow.python.framework import tensor_util

    if tensor.op.type != "StridedSlice" or tensor.op.inputs[0].op.type != "Shape" or tensor.shape.rank != 1:
        return None
    shape = tensor_util.constant_value_as_shape(tensor)
    return np.array(shape.as_list(), tensor.dtype.as_numpy_dtype) if shape.is_fully_defined() else None
