"""Writes each signature of a traced model as an ONNX file with the signature's names."""

import itertools
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from toolkit.core.model import TracedModel
from toolkit.core.plugins import Format
from toolkit.core.tensors import Signature, composite_parts
from toolkit.errors import ExportError, UnsupportedError
from toolkit.formats.rewrites import onnx_handlers
from toolkit.formats.rewrites.apart import attach, large_weights
from toolkit.formats.rewrites.frozen import Frozen, freeze
from toolkit.formats.rewrites.kinds import Lacks
from toolkit.formats.rewrites.rewrite import rewritten
from toolkit.formats.rewrites.split import export_split

OPSET = 18  # the highest that tf2onnx 1.17 writes
# An ONNX file is one protobuf message, which cannot be larger.
LIMIT_BYTES = 2 * 1024**3
# onnxruntime moves text about and does no more with it.
_TEXT = ("Identity", "IdentityN", "Tile", "GatherV2", "Reshape", "ConcatV2", "Pack", "ExpandDims", "Squeeze")
LACKS = Lacks("ONNX", strings=frozenset({*_TEXT, "Shape", "Size", "StridedSlice", "Const", "Placeholder"}))


def export(traced: TracedModel, directory: Path) -> Sequence[str]:
    """One `<signature>.onnx` per signature; what ONNX lacks stays with TensorFlow beside it."""
    return export_split(traced, directory, LACKS, export_whole)


def export_whole(traced: TracedModel, directory: Path) -> Sequence[str]:
    """One `<signature>.onnx` per signature."""
    import onnx

    notes: list[str] = []
    for name, function in traced.functions.items():
        frozen = rewritten(freeze(function, name, large_weights(function)), "onnx")
        model = convert(frozen, _declared(traced, name))
        onnx.save(model, str(directory / f"{name}.onnx"))
        notes += [note for note in frozen.notes if note not in notes]
    return notes


def _declared(traced: TracedModel, name: str) -> Signature:
    """The signature without what a split made of it, whose first dimensions may count anything."""
    whole, cut = traced.signatures[name], traced.cut.get(name, frozenset())
    sides = (whole.inputs, whole.outputs)
    inputs, outputs = ({key: spec for key, spec in side.items() if key not in cut} for side in sides)
    return Signature(inputs, outputs, whole.method)


def convert(frozen: Frozen, signature: Signature) -> Any:
    """The ONNX model of a frozen graph.

    Raises:
        UnsupportedError: an op that ONNX does not have; the message names it and its layer.
        ExportError: tf2onnx failed otherwise.
    """
    import tf2onnx
    from tf2onnx.tf_loader import tf_optimize

    inputs, outputs = [*frozen.inputs.values(), *frozen.weights], list(frozen.outputs.values())
    # An output may be called like an input, which one ONNX graph cannot hold: such an output gets a mark.
    names = {tensor: f"{key}__out" if key in frozen.inputs else key for key, tensor in frozen.outputs.items()}
    names |= {tensor: key for key, tensor in frozen.inputs.items()}
    weights = _weight_names(frozen, set(names.values()))
    names |= {tensor: key for key, tensor in weights.items()}
    import tensorflow as tf

    try:
        with tf.Graph().as_default():
            graph_def = tf_optimize(inputs, outputs, frozen.graph_def)
        with tf.device("/cpu:0"):
            model, _ = tf2onnx.convert._convert_common(  # the public calls cannot take a prepared graph
                graph_def,
                name="model",
                opset=OPSET,
                input_names=inputs,
                output_names=outputs,
                tensors_to_rename=names,
                custom_op_handlers=dict(onnx_handlers.HANDLERS),
            )
    except Exception as error:  # tf2onnx raises from any of its handlers without a common class
        raise ExportError(
            f"tf2onnx could not convert the graph: {type(error).__name__}: {next(iter(str(error).splitlines()), '')}",
            hint="-v shows what the converter wrote",
        ) from error
    _refuse_leftovers(model)
    attach(model, {key: frozen.weights[tensor] for key, tensor in weights.items()})
    _name_dimensions(model, signature)
    return model


def _weight_names(frozen: Frozen, taken: set[str]) -> dict[str, str]:
    """A name of its own for each weight that is kept apart, to its tensor: the variable's, or that with a number."""
    named: dict[str, str] = {}
    for tensor, variable in frozen.weights.items():
        base = variable.name.partition(":")[0]
        choices = (base if at == 0 else f"{base}_{at}" for at in itertools.count())
        named[next(name for name in choices if name not in taken | named.keys())] = tensor
    return named


def _refuse_leftovers(model: Any) -> None:
    """tf2onnx leaves ops that it does not know in the file and reports success."""
    from onnx import defs

    left = [
        node for node in _nodes(model.graph) if node.domain in {"", "ai.onnx"} and not defs.has(node.op_type, OPSET)
    ]
    if left:
        found = sorted({f"{node.op_type} (layer {node.name.rpartition('/')[0] or node.name})" for node in left})
        raise UnsupportedError(
            f"ONNX has no {', '.join(found)}",
            hint="replace the op by ones that ONNX has, or serve the SavedModel",
            ops={node.op_type for node in left},
        )


def _nodes(graph: Any) -> Iterator[Any]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _nodes(attribute.g)


def _name_dimensions(model: Any, signature: Signature) -> None:
    """tf2onnx calls every open dimension unk__N; the batch is `batch`, others say whose they are."""
    parts = composite_parts(signature.inputs) | composite_parts(signature.outputs)
    for value in [*model.graph.input, *model.graph.output]:
        name = value.name.removesuffix("__out")
        spec = signature.inputs.get(value.name) or signature.outputs.get(name)
        for at, dim in enumerate(value.type.tensor_type.shape.dim):
            if dim.HasField("dim_value") and dim.dim_value >= 0:
                continue
            is_batch = at == 0 and spec is not None and spec.batched and name not in parts
            dim.ClearField("dim_value")
            dim.dim_param = "batch" if is_batch else f"{name}_dim_{at}"


def known_ops() -> Collection[str]:
    """What tf2onnx has a handler for, its own and ours; calls of functions are taken apart before it sees them."""
    import tf2onnx.tfonnx  # noqa: F401  # registers the handlers
    from tf2onnx.handler import tf_op

    return {*tf_op.create_mapping(OPSET, None), *onnx_handlers.HANDLERS, "PartitionedCall", "StatefulPartitionedCall"}


FORMAT = Format(
    name="onnx",
    export=export,
    weight_limit_bytes=LIMIT_BYTES,
    takes=known_ops,
    lacking=LACKS.of,
    libraries=("tensorflow", "tf2onnx", "onnx"),
)
