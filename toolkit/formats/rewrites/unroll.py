"""Loops that run a known number of times become that many copies of their body, without lists."""

from collections.abc import Sequence
from typing import Any

from toolkit.formats.rewrites.frozen import Frozen
from toolkit.formats.rewrites.lists import LISTS
from toolkit.formats.rewrites.retrace import Replacement, Step, retraced
from toolkit.formats.rewrites.rewrite import Rewrite, Stage
from toolkit.graphs.census import layer_of, ops_by_type

# Converters take seconds for a thousand ops.
MOST_OPS = 10_000


def _while(step: Step) -> Sequence[Any] | None:
    unrolled = _iterations(step)
    if unrolled is None:
        return None
    outputs, count = unrolled
    step.tracing.note(f"unrolled {step.type} (layer {layer_of(step.op.name)}): {count} times its body")
    return outputs


def _iterations(step: Step) -> tuple[Sequence[Any], int] | None:
    tracing, state = step.tracing, list(step.inputs)
    cond, body = step.attr("cond").name, step.attr("body").name
    limit, count = tracing.size + MOST_OPS, 0
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
    **LISTS,
    "While": _while,
    "StatelessWhile": _while,
    "PartitionedCall": _inlined,
    "StatefulPartitionedCall": _inlined,
    "If": _branch,
    "StatelessIf": _branch,
}


def _wanted(graph_def: Any) -> bool:
    kinds = ops_by_type(graph_def)
    return any(kind in kinds for kind in ("While", "StatelessWhile")) or any("TensorList" in kind for kind in kinds)


def _apply(frozen: Frozen) -> Frozen:
    return retraced(frozen, REPLACEMENTS)


REWRITE = Rewrite("unroll", ("tflite",), Stage.CONTROL, _wanted, _apply)
