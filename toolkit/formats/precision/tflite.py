"""Writes TFLite files in fewer bits, by TensorFlow Lite's own post-training quantization.

The modes are those of ai.google.dev/edge/litert/models/post_training_quantization. Inputs and outputs stay
float where nothing else is asked.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from toolkit.core.batches import cut
from toolkit.core.model import TracedModel
from toolkit.core.plugins import Format
from toolkit.core.quantized import Quantized, QuantizedEdges
from toolkit.core.tensors import Feed
from toolkit.errors import ExportError, UnsupportedError
from toolkit.formats.precision.calibration import calibration_of
from toolkit.formats.precision.variant import variant_format
from toolkit.formats.rewrites.sources import Source, sources
from toolkit.formats.tflite import FORMAT, LACKS, refuse
from toolkit.graphs.census import STATE_WRITES, layers_of, ops_by_type

# A full-integer conversion of a loop kills the process while it calibrates (TensorFlow 2.21).
_LOOPS = ("While", "StatelessWhile")
# Where all becomes integers, the converter takes the ranges from the FakeQuant ops of a network trained for that.
_LEFT_OUT = ("fake_quant",)


@dataclass(frozen=True)
class Mode:
    """One way to quantize.

    Args:
        configure: sets the converter up.
        calibrated: whether it reads ranges from data.
        reads: the fields of ExportSettings that it heeds.
        unsure: whether the converter gives files that LiteRT cannot run.
    """

    configure: Callable[[Any], None]
    calibrated: bool = False
    reads: tuple[str, ...] = ("fixed_batch",)
    unsure: bool = False


def _float16(converter: Any) -> None:
    import tensorflow as tf

    converter.target_spec.supported_types = [tf.float16]


def _dynamic(_: Any) -> None:
    pass  # what Optimize.DEFAULT does by itself: weights in 8 bits, computed in float


def _int8(converter: Any) -> None:
    import tensorflow as tf

    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]


def _int16x8(converter: Any) -> None:
    import tensorflow as tf

    converter.target_spec.supported_ops = [tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8]


MODES = {
    "float16": Mode(_float16),
    "dynamic": Mode(_dynamic),
    "int8": Mode(_int8, calibrated=True, reads=("fixed_batch", "int8_io")),
    "int16x8": Mode(_int16x8, calibrated=True, unsure=True),
}


def tflite_format(variant: str) -> Format:
    """The format of one mode."""
    mode = MODES[variant]
    export = partial(_export_whole, mode)
    plain = variant_format(FORMAT, LACKS, variant, export, _turning, calibrated=mode.calibrated)
    return replace(plain, reads=mode.reads)


def _turning(path: Path) -> int:
    from tensorflow.lite.python import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    codes = [code.builtinCode for code in model.operatorCodes]
    turning = {schema.BuiltinOperator.QUANTIZE, schema.BuiltinOperator.DEQUANTIZE}
    return sum(codes[op.opcodeIndex] in turning for graph in model.subgraphs for op in graph.operators or ())


def _export_whole(mode: Mode, traced: TracedModel, directory: Path) -> Sequence[str]:
    refuse(traced)
    feeds = {name: _calibration(traced, name) if mode.calibrated else () for name in traced.functions}
    notes: list[str] = []
    with sources(traced, "tflite", directory, _LEFT_OUT if mode.calibrated else ()) as found:
        for name, source in found.items():
            content = _convert(mode, name, source, feeds[name], int8_io=bool(traced.settings.int8_io))
            if mode.unsure:
                _refuse_what_does_not_run(name, source.function, content, feeds[name][0])
            (directory / f"{name}.tflite").write_bytes(content)
            notes += [note for note in source.notes if note not in notes]
            notes += [QuantizedEdges(name, edges_of(content))] if traced.settings.int8_io else []
    return notes


def _calibration(traced: TracedModel, name: str) -> Sequence[Feed]:
    feeds, size = calibration_of(traced, name), traced.settings.fixed_batch
    if size is None:
        return feeds
    return [part for feed in feeds for part in cut(traced.signatures[name], feed, size)]


def edges_of(content: bytes) -> dict[str, Quantized]:
    """Input or output of the file's one signature to how its integers stand for floats, for those that do."""
    from tensorflow.lite.python import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(content, 0)
    (signature,) = model.signatureDefs
    tensors = model.subgraphs[signature.subgraphIndex].tensors
    found = {}
    for entry in (*signature.inputs, *signature.outputs):
        tensor = tensors[entry.tensorIndex]
        meant = tensor.quantization
        if tensor.type == schema.TensorType.INT8 and meant is not None and meant.scale is not None:
            found[entry.name.decode()] = Quantized("int8", float(meant.scale[0]), int(meant.zeroPoint[0]))
    return found


def _convert(mode: Mode, name: str, source: Source, feeds: Sequence[Feed], *, int8_io: bool) -> bytes:
    import tensorflow as tf

    if mode.calibrated:
        _refuse_loops(name, source.function)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(source.saved), signature_keys=[name])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    mode.configure(converter)
    if mode.calibrated:
        converter.representative_dataset = partial(_representative, name, feeds)
    if int8_io:
        converter.inference_input_type = converter.inference_output_type = tf.int8
    try:
        content: bytes = converter.convert()
    except Exception as error:  # the converter raises its own class, and whatever MLIR and the calibrator run into
        raise _refusal(name, source.function, str(error)) from error
    return content


def _refuse_what_does_not_run(name: str, function: Any, content: bytes, feed: Feed) -> None:
    """Some ops are converted to types that their kernels do not have, as SquaredDifference is (LiteRT 2)."""
    from ai_edge_litert.interpreter import Interpreter

    try:
        Interpreter(model_content=content).get_signature_runner(name)(**feed)
    except (RuntimeError, ValueError) as error:  # what the interpreter raises of a file that it cannot run
        raise _refusal(name, function, f"LiteRT says of the quantized file: {error}") from error


def _representative(name: str, feeds: Sequence[Feed]) -> Iterator[tuple[str, Feed]]:
    for feed in feeds:
        yield name, feed


def _refuse_loops(name: str, function: Any) -> None:
    loops = layers_of(function.graph.as_graph_def(), *_LOOPS, *STATE_WRITES)
    if loops:
        op, layer = next(iter(loops.items()))
        raise UnsupportedError(
            f"TFLite's calibration dies of {op} (layer {layer}) of '{name}'",
            hint="choose a variant that needs no calibration: tflite-float16 or tflite-dynamic",
        )


def _refusal(name: str, function: Any, text: str) -> ExportError:
    lines = [line.strip() for line in text.splitlines() if line.strip()] or ["no reason given"]
    telling = next((line for line in lines if "quantiz" in line.lower() or "error" in line.lower()), lines[0])
    graph_def = function.graph.as_graph_def()
    known = ops_by_type(graph_def)
    op = next((found for found in sorted(known, key=len, reverse=True) if found.lower() in telling.lower()), None)
    if op is not None:
        layer = layers_of(graph_def, op)[op]
        return UnsupportedError(
            f"TFLite does not quantize {op} (layer {layer}) of '{name}' so: {telling:.200}",
            hint="choose another variant",
        )
    return UnsupportedError(f"TFLite does not quantize '{name}' so: {telling:.200}", hint="choose another variant")
