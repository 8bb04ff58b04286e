"""Loops whose number of steps only running tells: carried over with plain tensors in place of lists."""

from collections.abc import Sequence
from typing import Any

from toolkit.formats.rewrites.lists import is_list
from toolkit.formats.rewrites.retrace import Step, Tracing
from toolkit.formats.rewrites.rows import Rows, Unwritten, open_list
from toolkit.graphs.census import layer_of


def open_loop(step: Step, *, growing: bool) -> Sequence[Any] | None:
    """The loop with dense lists; None where it has none, or elements of which the shape cannot be told.

    Args:
        step: the While.
        growing: whether a list may grow in it.
    """
    state = [open_list(value) for value in step.inputs]
    if not any(is_list(value) for value in state):
        return None
    if any(value.dtype == "variant" for value in state if not is_list(value)):
        return None
    body = step.tracing.body(step.attr("body").name)
    changed = [at for at, out in enumerate(body.outputs) if _behind(out) is not body.inputs[at]]
    state = _allocated(step, state)
    if any(isinstance(state[at], Unwritten) for at in changed):
        return None
    # Its ops go again with all else that no output needs; it shows which lists keep their length.
    first = step.tracing.call(step.attr("body").name, state)
    shapes = [_shape(state[at], first[at], body.inputs[at]) for at in changed]
    grows = [
        is_list(state[at]) and state[at].data.shape[0] is not None and shape[0] is None
        for at, shape in zip(changed, shapes, strict=True)
    ]
    if any(grows) and not growing:
        return None
    step.tracing.note(f"{step.type} (layer {layer_of(step.op.name)}) carries its lists as plain tensors")
    return _rebuilt(step, state, changed, shapes)


def _behind(tensor: Any) -> Any:
    while tensor.op.type == "Identity":
        tensor = tensor.op.inputs[0]
    return tensor


def _allocated(step: Step, state: list[Any]) -> list[Any]:
    """Lists that nothing was written to get rows of the shape that the first step writes."""
    if not any(isinstance(value, Unwritten) and not value.shape.is_fully_defined() for value in state):
        return [value.like(value.shape) if isinstance(value, Unwritten) else value for value in state]
    first = step.tracing.call(step.attr("body").name, state)
    return [
        value.shaped(found.data[0]) if isinstance(value, Unwritten) and isinstance(found, Rows) else value
        for value, found in zip(state, first, strict=True)
    ]


def _rebuilt(step: Step, state: list[Any], changed: list[int], shapes: list[Any]) -> Sequence[Any]:
    import tensorflow as tf

    def whole(values: Sequence[Any]) -> list[Any]:
        """What the old body takes: what the loop changes from `values`, all else as it was before the loop."""
        given = dict(zip(changed, values, strict=True))
        return [
            value if at not in given else Rows(given[at]) if isinstance(value, Rows) else given[at]
            for at, value in enumerate(state)
        ]

    def goes_on(*values: Any) -> Any:
        return _inside(step.tracing).call(step.attr("cond").name, whole(values))[0]

    def next_step(*values: Any) -> list[Any]:
        found = _inside(step.tracing).call(step.attr("body").name, whole(values))
        return [_data(found[at]) for at in changed]

    outputs = tf.while_loop(goes_on, next_step, [_data(state[at]) for at in changed], shape_invariants=shapes)
    return whole(outputs)


def _inside(tracing: Tracing) -> Tracing:
    import tensorflow as tf

    return tracing.within(tf.compat.v1.get_default_graph())


def _data(value: Any) -> Any:
    return value.data if isinstance(value, Rows) else value


def _shape(value: Any, after: Any, declared: Any) -> Any:
    """What holds of a loop variable in every step; a list may grow."""
    if not isinstance(value, Rows):
        return declared.shape
    before = value.data.shape
    return type(before)([before[0] if before[0] == after.data.shape[0] else None, *before[1:]])
