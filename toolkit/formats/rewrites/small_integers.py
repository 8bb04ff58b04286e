"""Arithmetic of integers of 8 and 16 bits, which runtimes have for few ops, by that of 32."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from toolkit.formats.rewrites.replacing import replacing
from toolkit.formats.rewrites.retrace import Replacement, Step
from toolkit.formats.rewrites.rewrite import Rewrite
from toolkit.graphs.census import nodes_of

# tensorflow/core/framework/types.proto: uint8, int16, int8, uint16.
_SMALL = frozenset({4, 5, 6, 17})
_DT_INT32 = 3
_KINDS = (
    *("AddV2", "Add", "Sub", "Mul", "FloorDiv", "FloorMod", "TruncateDiv", "Maximum", "Minimum", "AddN", "Cumsum"),
    *("Equal", "NotEqual", "Less", "LessEqual", "Greater", "GreaterEqual", "SquaredDifference", "ClipByValue"),
    *("Neg", "Abs", "Sign", "Square", "Sum", "Prod", "Max", "Min", "UnsortedSegmentSum"),
)


def _wider(step: Step) -> Sequence[Any] | None:
    """The same op on 32 bits; what does not fit goes round, as it does in the small type."""
    import tensorflow as tf

    if not _is_small(step.op.node_def):
        return None
    attributes = {key: value for key, value in step.op.node_def.attr.items() if key != "_output_shapes"}
    attributes |= {key: type(value)(type=_DT_INT32) for key, value in attributes.items() if value.type in _SMALL}
    made = step.tracing.graph._create_op_internal(
        step.type,
        [tf.cast(value, tf.int32) if value.dtype.as_datatype_enum in _SMALL else value for value in step.inputs],
        [tf.int32 if tensor.dtype.as_datatype_enum in _SMALL else tensor.dtype for tensor in step.op.outputs],
        name=step.op.name,
        attrs=attributes,
        op_def=step.op.op_def,
    )
    return [
        new if new.dtype == old.dtype else tf.cast(new, old.dtype)
        for new, old in zip(made.outputs, step.op.outputs, strict=True)
    ]


def _is_small(node: Any) -> bool:
    return any(value.type in _SMALL for value in node.attr.values())


def widening(name: str, formats: tuple[str, ...], kinds: Sequence[str]) -> Rewrite:
    """The rewrite that has ops of these types work on 32 bits wherever they are given fewer."""
    table: dict[str, Replacement] = dict.fromkeys(kinds, _wider)

    def wanted(graph_def: Any) -> bool:
        return any(node.op in table and _is_small(node) for _, node in nodes_of(graph_def))

    return replace(replacing(name, formats, table, "the same of 32 bits"), wanted=wanted)


REWRITE = widening("small_integers", ("tflite", "onnx"), _KINDS)
