"""A choice among many branches, which no format has, as a tree of choices between two."""

from collections.abc import Callable, Sequence
from typing import Any

from toolkit.formats.rewrites.replacing import replacing
from toolkit.formats.rewrites.retrace import Replacement, Step
from toolkit.formats.rewrites.rewrite import Stage


def _case(step: Step) -> Sequence[Any]:
    """Halves of the branches by the index, so that no choice lies deeper than log2 of their number."""
    import tensorflow as tf

    if not step.op.outputs:
        return []
    index, arguments = step.inputs[0], step.inputs[1:]
    names = [function.name for function in step.attr("branches")]
    known = step.tracing.folder.value(index)
    if known is not None:
        return step.tracing.call(names[_taken(int(known), len(names))], arguments)

    def called(name: str) -> list[Any]:
        return step.tracing.within(tf.compat.v1.get_default_graph()).call(name, arguments)

    def among(first: int, last: int) -> Callable[[], Any]:
        if first == last:
            return lambda: called(names[first])
        middle = (first + last) // 2
        return lambda: tf.cond(place <= middle, among(first, middle), among(middle + 1, last))

    most = len(names) - 1
    # An index outside takes the last branch, a negative one too.
    place = tf.where(tf.logical_and(index >= 0, index < most), index, most)
    outputs = among(0, most)()
    return list(outputs) if isinstance(outputs, list | tuple) else [outputs]


def _taken(index: int, count: int) -> int:
    return index if 0 <= index < count else count - 1


TABLE: dict[str, Replacement] = {"Case": _case, "StatelessCase": _case}
REWRITE = replacing("cases", ("tflite", "onnx"), TABLE, "choices between two branches", Stage.CONTROL)
