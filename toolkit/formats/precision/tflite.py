"""Writes TFLite files in fewer bits, by TensorFlow Lite's own post-training quantization.

The modes are those of ai.google.dev/edge/litert/models/post_training_quantization. Inputs and outputs stay float.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from toolkit.core.model import TracedModel
from toolkit.core.plugins import Format
from toolkit.core.tensors import Feed
from toolkit.errors import ExportError, UnsupportedError
from toolkit.formats.precision.calibration import calibration_of
from toolkit.formats.precision.variant import variant_format
from toolkit.formats.rewrites.sources import Source, sources
from toolkit.formats.tflite import FORMAT, LACKS, refuse
from toolkit.graphs.census import STATE_WRITES, layers_of

# A full-integer conversion of a loop kills the process while it calibrates (TensorFlow 2.21).
_LOOPS = ("While", "StatelessWhile")


@dataclass(frozen=True)
class Mode:
    """One way to quantize.

    Args:
        configure: sets the converter up.
        calibrated: whether it reads ranges from data.
    """

    configure: Callable[[Any], None]
    calibrated: bool = False


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
    "int8": Mode(_int8, calibrated=True),
    "int16x8": Mode(_int16x8, calibrated=True),
}


def tflite_format(variant: str) -> Format:
    """The format of one mode."""
    mode = MODES[variant]
    return variant_format(FORMAT, LACKS, variant, partial(_export_whole, mode), _turning, calibrated=mode.calibrated)


def _turning(path: Path) -> int:
    from tensorflow.lite.python import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    codes = [code.builtinCode for code in model.operatorCodes]
    turning = {schema.BuiltinOperator.QUANTIZE, schema.BuiltinOperator.DEQUANTIZE}
    return sum(codes[op.opcodeIndex] in turning for graph in model.subgraphs for op in graph.operators or ())


def _export_whole(mode: Mode, traced: TracedModel, directory: Path) -> Sequence[str]:
    refuse(traced)
    feeds = {name: calibration_of(traced, name) if mode.calibrated else () for name in traced.functions}
    notes: list[str] = []
    with sources(traced, "tflite", directory) as found:
        for name, source in found.items():
            (directory / f"{name}.tflite").write_bytes(_convert(mode, name, source, feeds[name]))
            notes += [note for note in source.notes if note not in notes]
    return notes


def _convert(mode: Mode, name: str, source: Source, feeds: Sequence[Feed]) -> bytes:
    import tensorflow as tf

    if mode.calibrated:
        _refuse_loops(name, source.function)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(source.saved), signature_keys=[name])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    mode.configure(converter)
    if mode.calibrated:
        converter.representative_dataset = partial(_representative, name, feeds)
    try:
        content: bytes = converter.convert()
    except Exception as error:  # the converter raises its own class, and whatever MLIR and the calibrator run into
        raise _refusal(name, source.function, str(error)) from error
    return content


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
    known = {node.op for node in function.graph.as_graph_def().node}
    op = next((found for found in sorted(known, key=len, reverse=True) if found.lower() in telling.lower()), None)
    if op is not None:
        layer = layers_of(function.graph.as_graph_def(), op)[op]
        return UnsupportedError(
            f"TFLite does not quantize {op} (layer {layer}) of '{name}' so: {telling:.200}",
            hint="choose another variant",
        )
    return UnsupportedError(f"TFLite does not quantize '{name}' so: {telling:.200}", hint="choose another variant")
