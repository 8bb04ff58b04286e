"""TensorLists as plain tensors: what reads and writes them disappears."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from toolkit.formats.rewrites.retrace import Replacement, Step


class List(Protocol):
    """What stands in place of a TensorList's variant tensor; every change gives a new one.

    An index is the tensor and its value where that is known, else None.
    """

    @property
    def length(self) -> Any:
        """How many elements it has: an int, or a scalar tensor."""

    def stacked(self) -> Any:
        """All elements as one tensor; None where none was ever written and their shape is open."""

    def get(self, index: Any, at: int | None) -> Any:
        """One element."""

    def set(self, index: Any, at: int | None, element: Any, *, grows: bool) -> "List | None":
        """With one element changed, behind the end only if it grows; None where it cannot be."""

    def pushed(self, element: Any) -> "List":
        """With one more at the end."""

    def popped(self) -> "List | None":
        """Without the last."""

    def tensor(self) -> Any:
        """The variant tensor, for an op that takes no less."""


@dataclass(frozen=True)
class Items:
    """A list whose length is known.

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

    @property
    def length(self) -> int:
        """How many elements it has."""
        return len(self.elements)

    @property
    def written(self) -> bool:
        """Whether any element is there."""
        return any(one is not None for one in self.elements)

    def stacked(self) -> Any:
        """All elements as one tensor."""
        import tensorflow as tf

        if self.whole is not None:
            return self.whole
        if not self.written and not self.shape.is_fully_defined():
            return None
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

    def get(self, index: Any, at: int | None) -> Any:
        """One element, known or gathered."""
        import tensorflow as tf

        return self.element(at) if at is not None else tf.gather(self.stacked(), index)

    def set(self, index: Any, at: int | None, element: Any, *, grows: bool) -> List | None:
        """With one element changed; behind the end the list grows."""
        if at is None or (at >= len(self.elements) and not grows):
            return None
        elements = [*self.elements, *(None,) * (at + 1 - len(self.elements))]
        elements[at] = element
        return replace(self, elements=tuple(elements), whole=None)

    def pushed(self, element: Any) -> List:
        """With one more."""
        return replace(self, elements=(*self.elements, element), whole=None)

    def popped(self) -> List | None:
        """Without the last."""
        return replace(self, elements=self.elements[:-1], whole=None) if self.elements else None

    def resized(self, length: int) -> List:
        """Cut, or with elements that nothing was written to."""
        kept = self.elements[:length]
        return replace(self, elements=kept + (None,) * (length - len(kept)), whole=None)

    def tensor(self) -> Any:
        """The variant tensor."""
        import tensorflow as tf

        if self.written:
            return tf.raw_ops.TensorListFromTensor(tensor=self.stacked(), element_shape=spelled(self.shape))
        return tf.raw_ops.TensorListReserve(
            element_shape=spelled(self.shape), num_elements=len(self.elements), element_dtype=self.dtype
        )


def spelled(shape: Any) -> Any:
    """A tf.TensorShape as ops on lists take it."""
    import numpy as np

    # Of an empty list TensorFlow would make floats.
    return -1 if shape.rank is None else np.array([-1 if dim is None else dim for dim in shape.as_list()], np.int32)


def element_shape(step: Step, at: int) -> Any:
    """The tf.TensorShape that an input holds as numbers, as far as it is known."""
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
    return None if length is None else [Items((None,) * length, element_shape(step, 0), step.attr("element_dtype"))]


def _empty(step: Step) -> Sequence[Any] | None:
    return [Items((), element_shape(step, 0), step.attr("element_dtype"))]


def _from_tensor(step: Step) -> Sequence[Any] | None:
    import tensorflow as tf

    whole = step.inputs[0]
    if whole.shape.rank is None or whole.shape[0] is None:
        return None
    rows = tuple(tf.unstack(whole)) if whole.shape[0] else ()
    return [Items(rows, whole.shape[1:], whole.dtype, whole)]


def is_list(value: Any) -> bool:
    """Whether a value is a list in place of its variant tensor."""
    return hasattr(value, "pushed")


def on_list(change: Callable[[Step, Any], Sequence[Any] | None]) -> Replacement:
    """A replacement for an op whose first input is a list; a variant tensor is left to the op."""

    def replaced(step: Step) -> Sequence[Any] | None:
        outputs = change(step, step.inputs[0]) if is_list(step.inputs[0]) else None
        return None if outputs is None or any(one is None for one in outputs) else outputs

    return replaced


def _set(step: Step, items: Any) -> Sequence[Any]:
    grows = bool(step.attr("resize_if_index_out_of_bounds"))
    return [items.set(step.inputs[1], _number(step, 1), step.inputs[2], grows=grows)]


def _gathered(step: Step, items: Any) -> Sequence[Any]:
    import tensorflow as tf

    return [tf.gather(items.stacked(), step.inputs[1])]


def _popped(step: Step, items: Any) -> Sequence[Any] | None:
    import tensorflow as tf

    rest = items.popped()
    return None if rest is None else [rest, tf.gather(items.stacked(), items.length - 1)]


def _resized(step: Step, items: Any) -> Sequence[Any] | None:
    length = _number(step, 1)
    return [items.resized(length)] if length is not None and isinstance(items, Items) else None


def _length(step: Step, items: Any) -> Sequence[Any]:
    import numpy as np

    length = items.length
    return [step.tracing.folder.constant(np.int32(length)) if isinstance(length, int) else length]


def _concatenated(step: Step, items: Any) -> Sequence[Any] | None:
    import tensorflow as tf

    if not isinstance(items, Items) or not items.elements:
        return None
    elements = [items.element(at) for at in range(len(items.elements))]
    lengths = tf.stack([tf.shape(one, out_type=tf.int64)[0] for one in elements])
    return [tf.concat(elements, 0), lengths]


LISTS: dict[str, Replacement] = {
    "TensorListReserve": _reserve,
    "EmptyTensorList": _empty,
    "TensorListFromTensor": _from_tensor,
    "TensorListGetItem": on_list(lambda step, items: [items.get(step.inputs[1], _number(step, 1))]),
    "TensorListSetItem": on_list(_set),
    "TensorListPushBack": on_list(lambda step, items: [items.pushed(step.inputs[1])]),
    "TensorListPopBack": on_list(_popped),
    "TensorListResize": on_list(_resized),
    "TensorListStack": on_list(lambda step, items: [items.stacked()]),
    "TensorListGather": on_list(_gathered),
    "TensorListLength": on_list(_length),
    "TensorListConcatV2": on_list(_concatenated),
    "Identity": on_list(lambda step, items: [items]),
}
