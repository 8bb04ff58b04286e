"""TensorLists whose length only running tells, as one tensor whose rows are the elements."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from toolkit.formats.rewrites.lists import LISTS, Items, List, element_shape, on_list, spelled
from toolkit.formats.rewrites.retrace import Replacement, Step


@dataclass(frozen=True)
class Rows:
    """A list of elements of one shape.

    Args:
        data: [length, *element].
    """

    data: Any

    @property
    def shape(self) -> Any:
        """Of an element, as far as it is known."""
        return self.data.shape[1:]

    @property
    def length(self) -> Any:
        """A scalar tensor."""
        import tensorflow as tf

        return tf.shape(self.data)[0]

    def stacked(self) -> Any:
        """The tensor itself."""
        return self.data

    def get(self, index: Any, at: int | None) -> Any:
        """One row."""
        import tensorflow as tf

        return tf.gather(self.data, index)

    def set(self, index: Any, at: int | None, element: Any, *, grows: bool) -> List:
        """With one row changed; behind the end the list grows, with zeros in the gap.

        An element of another size is an error when it runs, never a wrong answer.
        """
        import tensorflow as tf

        if self.data.shape[0] == 1 and at == 0 and not grows:
            return Rows(element[None])
        data = self._reaching(index) if grows else self.data
        row = tf.reshape(element, tf.concat([[1], tf.shape(data)[1:]], 0))
        here = tf.reshape(tf.equal(tf.range(tf.shape(data)[0]), index), [-1, *(1,) * (row.shape.rank - 1)])
        # A choice, not a join of slices: LiteRT joins the empty ones wrongly.
        return Rows(tf.ensure_shape(tf.where(here, row, data), data.shape))

    def _reaching(self, index: Any) -> Any:
        import tensorflow as tf

        gap = tf.maximum(index + 1 - self.length, 0)
        return tf.concat([self.data, tf.zeros(tf.concat([[gap], tf.shape(self.data)[1:]], 0), self.data.dtype)], 0)

    def pushed(self, element: Any) -> List:
        """With one more row."""
        import tensorflow as tf

        return Rows(tf.concat([self.data, element[None]], 0))

    def popped(self) -> List:
        """Without the last row."""
        return Rows(self.data[:-1])

    def tensor(self) -> Any:
        """The variant tensor."""
        import tensorflow as tf

        return tf.raw_ops.TensorListFromTensor(tensor=self.data, element_shape=spelled(self.shape))


@dataclass(frozen=True)
class Unwritten:
    """A list of elements that nothing was written to, and whose shape the first write will tell.

    Args:
        length: a scalar tensor or an int.
        shape: tf.TensorShape of an element, as far as it is known.
        dtype: tf.DType of an element.
    """

    length: Any
    shape: Any
    dtype: Any

    def stacked(self) -> Any:
        """Zeros, where their shape is known."""
        return self.like(self.shape).data if self.shape.is_fully_defined() else None

    def like(self, shape: Any) -> Rows:
        """As many rows of zeros of this shape, which may be a tensor."""
        import tensorflow as tf

        return Rows(tf.zeros(tf.concat([[self.length], shape], 0), self.dtype))

    def shaped(self, element: Any) -> Rows:
        """Rows of zeros like this element."""
        import tensorflow as tf

        rows = self.like(tf.shape(element)).data
        length = self.length if isinstance(self.length, int) else None
        return Rows(tf.ensure_shape(rows, [length, *element.shape]))

    def get(self, index: Any, at: int | None) -> Any:
        """Zeros, where their shape is known."""
        import tensorflow as tf

        return tf.zeros(self.shape, self.dtype) if self.shape.is_fully_defined() else None

    def set(self, index: Any, at: int | None, element: Any, *, grows: bool) -> List:
        """The first write."""
        return self.shaped(element).set(index, at, element, grows=grows)

    def pushed(self, element: Any) -> List:
        """The first row that is known."""
        return self.shaped(element).pushed(element)

    def popped(self) -> List | None:
        """Nothing is known of what would be taken."""
        return None

    def tensor(self) -> Any:
        """The variant tensor."""
        import tensorflow as tf

        return tf.raw_ops.TensorListReserve(
            element_shape=spelled(self.shape), num_elements=self.length, element_dtype=self.dtype
        )


def open_list(value: Any) -> Any:
    """A list of known length as one that a loop of unknown length can carry; anything else as it is."""
    if not isinstance(value, Items):
        return value
    stacked = value.stacked()
    return Unwritten(value.length, value.shape, value.dtype) if stacked is None else Rows(stacked)


def _reserve(step: Step) -> Sequence[Any] | None:
    known = LISTS["TensorListReserve"](step)
    return (
        known if known is not None else [Unwritten(step.inputs[1], element_shape(step, 0), step.attr("element_dtype"))]
    )


def _from_tensor(step: Step) -> Sequence[Any] | None:
    known = LISTS["TensorListFromTensor"](step)
    return known if known is not None else [Rows(step.inputs[0])]


def _resized(step: Step, items: Any) -> Sequence[Any] | None:
    import tensorflow as tf

    if isinstance(items, Unwritten):
        return [replace(items, length=step.inputs[1])]
    if not isinstance(items, Rows):
        return LISTS["TensorListResize"](step)
    missing = tf.maximum(step.inputs[1] - items.length, 0)
    filling = tf.zeros(tf.concat([[missing], tf.shape(items.data)[1:]], 0), items.data.dtype)
    return [Rows(tf.concat([items.data[: step.inputs[1]], filling], 0))]


OPEN_LISTS: dict[str, Replacement] = {
    **LISTS,
    "TensorListReserve": _reserve,
    "TensorListFromTensor": _from_tensor,
    "TensorListResize": on_list(_resized),
}
