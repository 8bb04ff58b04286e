"""Carries the replacements of ops into the loops and branches that a graph keeps."""

from collections.abc import Callable, Collection, Sequence
from typing import Any

from toolkit.formats.rewrites.retrace import Replacement, Step, Tracing


def bodies(kinds: Collection[str]) -> dict[str, Replacement]:
    """Replacements for loops and branches that hold ops of these types: the same with their functions carried over."""

    def replaced(step: Step) -> Sequence[Any] | None:
        return _CARRIED[step.type](step) if any(_holds(step.tracing, name, kinds) for name in _names(step)) else None

    return dict.fromkeys(_CARRIED, replaced)


def _names(step: Step) -> list[str]:
    attributes = step.op.node_def.attr.values()
    return [value.func.name for value in attributes if value.HasField("func")]


def _holds(tracing: Tracing, name: str, kinds: Collection[str]) -> bool:
    """Whether a function, or one that it calls, has an op of these types."""
    for op in tracing.body(name).get_operations():
        inner = [value.func.name for value in op.node_def.attr.values() if value.HasField("func")]
        if op.type in kinds or any(_holds(tracing, called, kinds) for called in inner):
            return True
    return False


def _call(step: Step, attribute: str) -> Callable[..., list[Any]]:
    """The function of an attribute, written into whatever graph is current when it is called."""

    def called(*arguments: Any) -> list[Any]:
        import tensorflow as tf

        inside = step.tracing.within(tf.compat.v1.get_default_graph())
        return inside.call(step.attr(attribute).name, arguments)

    return called


def _loop(step: Step) -> Sequence[Any] | None:
    import tensorflow as tf

    if any(tensor.dtype.name in {"variant", "resource"} for tensor in step.op.inputs):
        return None
    goes_on, next_step = _call(step, "cond"), _call(step, "body")
    shapes = [tensor.shape for tensor in step.op.outputs]
    made = tf.while_loop(lambda *state: goes_on(*state)[0], next_step, list(step.inputs), shape_invariants=shapes)
    return list(made)


def _branch(step: Step) -> Sequence[Any]:
    import tensorflow as tf

    condition, arguments = step.inputs[0], step.inputs[1:]
    then, otherwise = _call(step, "then_branch"), _call(step, "else_branch")
    return list(tf.cond(condition, lambda: then(*arguments), lambda: otherwise(*arguments)))


def _called(step: Step) -> Sequence[Any]:
    return step.tracing.call(step.attr("f").name, step.inputs)


_CARRIED: dict[str, Callable[[Step], Sequence[Any] | None]] = {
    "While": _loop,
    "StatelessWhile": _loop,
    "If": _branch,
    "StatelessIf": _branch,
    "PartitionedCall": _called,
    "StatefulPartitionedCall": _called,
}
