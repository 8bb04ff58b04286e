"""Makes a rewrite of a table: op type to what takes its place."""

from collections.abc import Mapping, Sequence
from typing import Any

from toolkit.formats.rewrites.bodies import bodies
from toolkit.formats.rewrites.frozen import Frozen
from toolkit.formats.rewrites.retrace import Replacement, Step, retraced
from toolkit.formats.rewrites.rewrite import Rewrite, Stage
from toolkit.graphs.census import layer_of, ops_by_type


def replacing(
    name: str, formats: tuple[str, ...], table: Mapping[str, Replacement], by: str, stage: Stage = Stage.OPS
) -> Rewrite:
    """A rewrite that puts what the table gives in place of ops that a format lacks or gets wrong.

    Args:
        name: its file's name.
        formats: the kinds that need it.
        table: op type to what it becomes; None from a replacement leaves that op as it is.
        by: for the note, what takes the ops' place, as in "matrix products".
        stage: when it has its turn.
    """
    replacements = {kind: noted(replacement, by) for kind, replacement in table.items()}
    replacements |= bodies(frozenset(table))

    def wanted(graph_def: Any) -> bool:
        found = ops_by_type(graph_def)
        return any(kind in found for kind in table)

    def apply(frozen: Frozen) -> Frozen:
        return retraced(frozen, replacements)

    return Rewrite(name, formats, stage, wanted, apply)


def noted(replacement: Replacement, by: str) -> Replacement:
    """The replacement, which says what it has replaced by what."""

    def replaced(step: Step) -> Sequence[Any] | None:
        outputs = replacement(step)
        if outputs is not None:
            step.tracing.note(f"replaced {step.type} (layer {layer_of(step.op.name)}) by {by}")
        return outputs

    return replaced
