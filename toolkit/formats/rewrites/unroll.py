"""Loops of a known number of steps become copies of their body, others carry no more lists."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from toolkit.formats.rewrites.frozen import Frozen
from toolkit.formats.rewrites.lists import is_list
from toolkit.formats.rewrites.loops import open_loop
from toolkit.formats.rewrites.retrace import Replacement, Step, retraced
from toolkit.formats.rewrites.rewrite import Rewrite, Stage
from toolkit.formats.rewrites.rows import OPEN_LISTS
from toolkit.graphs.census import layer_of, ops_by_type

# Converters take seconds for a thousand ops.
MOST_OPS = 10_000


def _while(step: Step) -> Sequence[Any] | None:
    return taken_apart(step, MOST_OPS, growing=True)


def taken_apart(step: Step, most_ops: int, *, growing: bool) -> Sequence[Any] | None:
    """The loop's outputs without lists: unrolled where that takes no more ops, else from another loop.

    Args:
        step: the While.
        most_ops: how many ops it may become.
        growing: whether a loop of open length may have lists that grow.
    """
    unrolled = _iterations(step, most_ops)
    if unrolled is None:
        return open_loop(step, growing=growing)
    outputs, count = unrolled
    step.tracing.note(f"unrolled {step.type} (layer {layer_of(step.op.name)}): {count} times its body")
    return outputs


def _iterations(step: Step, most_ops: int) -> tuple[Sequence[Any], int] | None:
    tracing, state = step.tracing, list(step.inputs)
    cond, body = step.attr("cond").name, step.attr("body").name
    limit, count = tracing.size + most_ops, 0
    while True:
        going = tracing.folder.value(tracing.call(cond, state)[0])
        if going is None or tracing.size > limit:
            return None
        if not going:
            return state, count
        state, count = tracing.call(body, state), count + 1


def _inlined(step: Step) -> Sequence[Any] | None:
    return step.tracing.call(step.attr("f").name, step.inputs)


def _if(step: Step) -> Sequence[Any] | None:
    """The branch of a condition that is known; branches without lists where it is not."""
    import tensorflow as tf

    chosen, sides = step.inputs[0], [step.attr(name).name for name in ("then_branch", "else_branch")]
    known = step.tracing.folder.value(chosen)
    if known is not None:
        return step.tracing.call(sides[0 if known.any() else 1], step.inputs[1:])
    if chosen.dtype != "bool" or not any(_holds_control(step, side) for side in sides):
        return None
    outputs = tf.cond(chosen, *(partial(_called, step, side) for side in sides))
    return list(outputs) if isinstance(outputs, list | tuple) else [outputs]


def _called(step: Step, name: str) -> list[Any]:
    import tensorflow as tf

    found = step.tracing.within(tf.compat.v1.get_default_graph()).call(name, step.inputs[1:])
    return [value.tensor() if is_list(value) else value for value in found]


def _holds_control(step: Step, name: str) -> bool:
    """Whether a function has something in it that is replaced here."""
    return any(op.type in REPLACEMENTS and op.type != "Identity" for op in step.tracing.body(name).get_operations())


REPLACEMENTS: dict[str, Replacement] = {
    **OPEN_LISTS,
    "While": _while,
    "StatelessWhile": _while,
    "PartitionedCall": _inlined,
    "StatefulPartitionedCall": _inlined,
    "If": _if,
    "StatelessIf": _if,
}


def has_loops(graph_def: Any) -> bool:
    """Whether there is a loop, or a list."""
    return any(kind in ("While", "StatelessWhile") or "TensorList" in kind for kind in ops_by_type(graph_def))


def _apply(frozen: Frozen) -> Frozen:
    changed = retraced(frozen, REPLACEMENTS)
    return changed if changed.notes != frozen.notes else frozen


REWRITE = Rewrite("unroll", ("tflite",), Stage.CONTROL, has_loops, _apply)
