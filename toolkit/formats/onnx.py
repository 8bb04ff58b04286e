"""Writes each signature of a traced model as an ONNX file with the signature's names."""

import itertools
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from toolkit.core.exporting import ExportSettings
from toolkit.core.model import TracedModel
from toolkit.core.plugins import Format
from toolkit.core.tensors import Signature, composite_parts
from toolkit.errors import UnsupportedError, UsageError
from toolkit.formats.rewrites import onnx_handlers
from toolkit.formats.rewrites.apart import large_weights, optimized, taken_back
from toolkit.formats.rewrites.frozen import Frozen, freeze
from toolkit.formats.rewrites.kinds import Lacks
from toolkit.formats.rewrites.onnx_failures import telling
from toolkit.formats.rewrites.onnx_file import LargeWeight, write_model
from toolkit.formats.rewrites.rewrite import rewritten
from toolkit.formats.rewrites.split import export_split
from toolkit.formats.rewrites.state import attach_state, freeze_with_state, writes_state

OPSET = 18  # the highest that tf2onnx 1.17 writes
NEWEST_OPSET = 23  # what onnxruntime 1.32 has kernels for throughout; later ones are read with a warning
# onnxruntime moves text about and does no more with it.
_TEXT = ("Identity", "IdentityN", "Tile", "GatherV2", "Reshape", "ConcatV2", "Pack", "ExpandDims", "Squeeze")
LACKS = Lacks("ONNX", strings=frozenset({*_TEXT, "Shape", "Size", "StridedSlice", "Const", "Placeholder"}))


def export(traced: TracedModel, directory: Path) -> Sequence[str]:
    """One `<signature>.onnx` per signature; what ONNX lacks stays with TensorFlow beside it."""
    return export_split(traced, directory, LACKS, export_whole)


def export_whole(traced: TracedModel, directory: Path) -> Sequence[str]:
    """One `<signature>.onnx` per signature."""
    notes: list[str] = []
    for name, function in traced.functions.items():
        _refuse_bfloat16(traced, name)
        frozen = rewritten(_frozen(traced, name, function), "onnx")
        model, weights = convert(frozen, _declared(traced, name), traced.settings.opset or OPSET)
        attach_state(model, frozen)
        write_model(model, weights, directory / f"{name}.onnx")
        notes += [note for note in (*frozen.notes, _version(model)) if note not in notes]
    return notes


def _refuse_bfloat16(traced: TracedModel, name: str) -> None:
    """What is only handed on meets no rewrite, and tf2onnx would call it float16."""
    key = next((key for key, spec in _declared(traced, name).inputs.items() if spec.dtype == "bfloat16"), None)
    if key is not None:
        raise UnsupportedError(
            f"onnxruntime's Python interface takes no bfloat16, which Placeholder (layer {key}) is",
            hint="let the model take float32 and cast it, or serve the SavedModel",
        )


def _version(model: Any) -> str:
    opset = next(entry.version for entry in model.opset_import if entry.domain in {"", "ai.onnx"})
    return f"ONNX opset {opset}, IR version {model.ir_version}"


def check(settings: ExportSettings) -> None:
    """Raises UsageError for an opset that nobody writes, or that the installed onnxruntime does not read."""
    if settings.opset is None:
        return
    from onnx import defs

    newest = min(defs.onnx_opset_version(), NEWEST_OPSET)
    if not OPSET <= settings.opset <= newest:
        raise UsageError(f"ONNX opset {settings.opset} cannot be written", hint=f"--opset takes {OPSET} to {newest}")


def _frozen(traced: TracedModel, name: str, function: Any) -> Frozen:
    # Each file carries its own state: what one signature counts another would never see.
    if writes_state(function) and len(traced.functions) == 1:
        return freeze_with_state(function, name)
    return freeze(function, name, large_weights(function))


def _declared(traced: TracedModel, name: str) -> Signature:
    """The signature without what a split made of it, whose first dimensions may count anything."""
    whole, cut = traced.signatures[name], traced.cut.get(name, frozenset())
    sides = (whole.inputs, whole.outputs)
    inputs, outputs = ({key: spec for key, spec in side.items() if key not in cut} for side in sides)
    return Signature(inputs, outputs, whole.method)


def convert(frozen: Frozen, signature: Signature, opset: int = OPSET) -> tuple[Any, list[LargeWeight]]:
    """The ONNX model of a frozen graph, and the initializers that it has besides.

    Raises:
        UnsupportedError: an op that ONNX does not have, or tf2onnx fails on; the message names it and its layer.
        ExportError: tf2onnx failed otherwise.
    """
    import tensorflow as tf
    import tf2onnx
    from tf2onnx.tf_loader import tf_optimize

    inputs, outputs = [*frozen.inputs.values(), *frozen.weights], list(frozen.outputs.values())
    # An output may be called like an input, which one ONNX graph cannot hold: such an output gets a mark.
    names = {tensor: f"{key}__out" if key in frozen.inputs else key for key, tensor in frozen.outputs.items()}
    names |= {tensor: key for key, tensor in frozen.inputs.items()}
    weights = _weight_names(frozen, set(names.values()))
    names |= {tensor: key for key, tensor in weights.items()}
    with telling(), tf.Graph().as_default():
        graph_def = optimized(frozen.graph_def, frozen.weights, partial(tf_optimize, inputs, outputs))
    with telling(), tf.device("/cpu:0"):
        model, _ = tf2onnx.convert._convert_common(  # the public calls cannot take a prepared graph
            graph_def,
            name="model",
            opset=OPSET,
            input_names=inputs,
            output_names=outputs,
            tensors_to_rename=names,
            custom_op_handlers=dict(onnx_handlers.HANDLERS),
        )
    _refuse_leftovers(model)
    model = _raised(model, opset)
    large = taken_back(model, {key: frozen.weights[tensor] for key, tensor in weights.items()})
    _name_dimensions(model, signature)
    return model, large


def _raised(model: Any, opset: int) -> Any:
    """The model in a later version of the operators."""
    if opset == OPSET:
        return model
    from onnx import helper, version_converter

    try:
        raised = version_converter.convert_version(model, opset)
    except Exception as error:  # the C++ converter raises RuntimeErrors and its own ConvertError
        raise UnsupportedError(
            f"onnx.version_converter cannot raise the model to opset {opset}: {' '.join(str(error).split()):.200}",
            hint=f"leave --opset out for {OPSET}, or give a lower one",
        ) from error
    raised.ir_version = helper.find_min_ir_version_for(list(raised.opset_import))
    return raised


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
    memory_factor=5.0,  # measured by benchmarks/large_model.py
    reads=("opset",),
    check=check,
    takes=known_ops,
    lacking=LACKS.of,
    libraries=("tensorflow", "tf2onnx", "onnx"),
)
