"""TensorLists of known length as plain tensors: what reads and writes them disappears."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from toolkit.formats.rewrites.retrace import Replacement, Step


@dataclass(frozen=True)
class Items:
    """A TensorList whose length is known, in place of its variant tensor.

    Args:
        elements: its tensors; None where nothing was written.
        shape: tf.TensorShape of each, as far as it is known.
        dtype: tf.DType of each.
        whole: the tensor that the elements are the rows of, where it was made from one and not changed since.
    """

    elements: tuple[Any, ...]
    shape: Any
    dtype: Any
    whole: Any = None

    def stacked(self) -> Any:
        """All elements as one tensor."""
        import tensorflow as tf

        if self.whole is not None:
            return self.whole
        if not self.elements:
            return tf.zeros([0, *self.shape.as_list()], self.dtype)
        return tf.stack([self.element(at) for at in range(len(self.elements))])

    def element(self, at: int) -> Any:
        """One tensor; what was never written is zeros, as TensorFlow gives it."""
        import tensorflow as tf

        if self.elements[at] is not None:
            return self.elements[at]
        if self.shape.is_fully_defined():
            return tf.zeros(self.shape, self.dtype)
        return tf.zeros_like(next(one for one in self.elements if one is not None))

    def tensor(self) -> Any:
        """The variant tensor, for an op that takes no less."""
        import tensorflow as tf

        if any(one is not None for one in self.elements):
            return tf.raw_ops.TensorListFromTensor(tensor=self.stacked(), element_shape=_spelled(self.shape))
        return tf.raw_ops.TensorListReserve(
            element_shape=_spelled(self.shape), num_elements=len(self.elements), element_dtype=self.dtype
        )


def _spelled(shape: Any) -> Any:
    return -1 if shape.rank is None else [-1 if dim is None else dim for dim in shape.as_list()]


def _shape(step: Step, at: int) -> Any:
    import tensorflow as tf

    value = step.tracing.folder.value(step.inputs[at])
    if value is None or value.ndim == 0:
        return tf.TensorShape(None)
    return tf.TensorShape([None if dim < 0 else int(dim) for dim in value])


def _number(step: Step, at: int) -> int | None:
    value = step.tracing.folder.value(step.inputs[at])
    return None if value is None else int(value)


def _reserve(step: Step) -> Sequence[Any] | None:
    length = _number(step, 1)
    return None if length is None else [Items((None,) * length, _shape(step, 0), step.attr("element_dtype"))]


def _empty(step: Step) -> Sequence[Any] | None:
    return [Items((), _shape(step, 0), step.attr("element_dtype"))]


def _from_tensor(step: Step) -> Sequence[Any] | None:
    import tensorflow as tf

    whole = step.inputs[0]
    if whole.shape.rank is None or whole.shape[0] is None:
        return None
    rows = tuple(tf.unstack(whole)) if whole.shape[0] else ()
    return [Items(rows, whole.shape[1:], whole.dtype, whole)]


def _get(step: Step) -> Sequence[Any] | None:
    import tensorflow as tf

    items, at = step.inputs[0], _number(step, 1)
    if not isinstance(items, Items):
        return None
    return [items.element(at) if at is not None else tf.gather(items.stacked(), step.inputs[1])]


def _set(step: Step) -> Sequence[Any] | None:
    items, at = step.inputs[0], _number(step, 1)
    if not isinstance(items, Items) or at is None:
        return None
    elements = [*items.elements, *(None,) * (at + 1 - len(items.elements))]
    elements[at] = step.inputs[2]
    return [replace(items, elements=tuple(elements), whole=None)]


def _push(step: Step) -> Sequence[Any] | None:
    items = step.inputs[0]
    if not isinstance(items, Items):
        return None
    return [replace(items, elements=(*items.elements, step.inputs[1]), whole=None)]


def _pop(step: Step) -> Sequence[Any] | None:
    items = step.inputs[0]
    if not isinstance(items, Items) or not items.elements:
        return None
    return [replace(items, elements=items.elements[:-1], whole=None), items.element(len(items.elements) - 1)]


def _resize(step: Step) -> Sequence[Any] | None:
    items, length = step.inputs[0], _number(step, 1)
    if not isinstance(items, Items) or length is None:
        return None
    kept = items.elements[:length]
    return [replace(items, elements=kept + (None,) * (length - len(kept)), whole=None)]


def _stack(step: Step) -> Sequence[Any] | None:
    return [step.inputs[0].stacked()] if isinstance(step.inputs[0], Items) else None


def _gather(step: Step) -> Sequence[Any] | None:
    import tensorflow as tf

    items = step.inputs[0]
    return [tf.gather(items.stacked(), step.inputs[1])] if isinstance(items, Items) else None


def _length(step: Step) -> Sequence[Any] | None:
    import numpy as np

    items = step.inputs[0]
    if not isinstance(items, Items):
        return None
    return [step.tracing.folder.constant(np.int32(len(items.elements)))]


def _concat(step: Step) -> Sequence[Any] | None:
    import tensorflow as tf

    items = step.inputs[0]
    if not isinstance(items, Items) or not items.elements:
        return None
    elements = [items.element(at) for at in range(len(items.elements))]
    lengths = tf.stack([tf.shape(one, out_type=tf.int64)[0] for one in elements])
    return [tf.concat(elements, 0), lengths]


def _identity(step: Step) -> Sequence[Any] | None:
    return step.inputs if isinstance(step.inputs[0], Items) else None


LISTS: dict[str, Replacement] = {
    "TensorListReserve": _reserve,
    "EmptyTensorList": _empty,
    "TensorListFromTensor": _from_tensor,
    "TensorListGetItem": _get,
    "TensorListSetItem": _set,
    "TensorListPushBack": _push,
    "TensorListPopBack": _pop,
    "TensorListResize": _resize,
    "TensorListStack": _stack,
    "TensorListGather": _gather,
    "TensorListLength": _length,
    "TensorListConcatV2": _concat,
    "Identity": _identity,
}
