"""Loops that run a known number of times become that many copies of their body; others carry no more lists."""

from collections.abc import Sequence
from typing import Any

from toolkit.formats.rewrites.frozen import Frozen
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


def _branch(step: Step) -> Sequence[Any] | None:
    """The branch of a condition that is known."""
    condition = step.tracing.folder.value(step.inputs[0])
    if condition is None:
        return None
    return step.tracing.call(step.attr("then_branch" if condition else "else_branch").name, step.inputs[1:])


REPLACEMENTS: dict[str, Replacement] = {
    **OPEN_LISTS,
    "While": _while,
    "StatelessWhile": _while,
    "PartitionedCall": _inlined,
    "StatefulPartitionedCall": _inlined,
    "If": _branch,
    "StatelessIf": _branch,
}


def has_loops(graph_def: Any) -> bool:
    """Whether there is a loop, or a list."""
    kinds = ops_by_type(graph_def)
    return any(kind in kinds for kind in ("While", "StatelessWhile")) or any("TensorList" in kind for kind in kinds)


def _apply(frozen: Frozen) -> Frozen:
    changed = retraced(frozen, REPLACEMENTS)
    return changed if changed.notes != frozen.notes else frozen


REWRITE = Rewrite("unroll", ("tflite",), Stage.CONTROL, has_loops, _apply)
