"""Writes each signature of a traced model as a float TFLite flatbuffer."""

import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from shutil import rmtree
from typing import Any

from toolkit.core.model import TracedModel
from toolkit.core.parity import Unproven
from toolkit.core.plugins import Format
from toolkit.errors import ExportError, UnsupportedError
from toolkit.formats.rewrites.kinds import Lacks
from toolkit.formats.rewrites.sources import sources
from toolkit.formats.rewrites.split import export_split
from toolkit.graphs.census import STATE_WRITES, layers_of

# A flatbuffer's offsets are 32 bits wide; past this the converter dies or writes a file that nothing opens.
LIMIT_BYTES = 2 * 1024**3
# Its string ops run in no plain runtime.
LACKS = Lacks("TFLite")


def export(traced: TracedModel, directory: Path) -> Sequence[str]:
    """One `<signature>.tflite` per signature; what TFLite lacks stays with TensorFlow beside it."""
    try:
        return export_split(traced, directory, LACKS, export_whole)
    except UnsupportedError as error:
        if traced.saved is None or not traced.settings.allow_flex:
            raise
        _export_flex(traced, directory)
        return [
            Unproven(
                f"{error.message}: its file has TensorFlow's own (Select TF) ops, which a plain runtime cannot open, "
                "so that nothing is proven of it"
            )
        ]


def _export_flex(traced: TracedModel, directory: Path) -> None:
    """Files whose missing ops are TensorFlow's own, for runtimes that have the Flex delegate."""
    for left in directory.iterdir():  # what the attempt without them wrote
        rmtree(left) if left.is_dir() else left.unlink()
    for name, function in traced.functions.items():
        content = convert(traced.saved, name, function, flex=True)
        (directory / f"{name}.tflite").write_bytes(content)


def export_whole(traced: TracedModel, directory: Path) -> Sequence[str]:
    """One `<signature>.tflite` per signature, without optimisation so that parity can be tight."""
    refuse(traced)
    notes: list[str] = []
    with sources(traced, "tflite", directory) as found:
        for name, source in found.items():
            (directory / f"{name}.tflite").write_bytes(convert(source.saved, name, source.function))
            notes += [note for note in source.notes if note not in notes]
    return notes


def refuse(traced: TracedModel) -> None:
    """Raises UnsupportedError for what TFLite cannot hold for certain, before the converter dies of it."""
    # Each file keeps its own state: what one signature counts another would never see.
    for name, function in traced.functions.items():
        writes = layers_of(function.graph.as_graph_def(), *STATE_WRITES)
        if writes and len(traced.functions) > 1:
            op, layer = next(iter(writes.items()))
            raise UnsupportedError(
                f"TFLite holds each signature in a file of its own, and '{name}' changes state: {op} (layer {layer})",
                hint="serve the SavedModel, or export a model with this signature alone",
            )


def convert(saved: Any, name: str, function: Any, *, flex: bool = False) -> bytes:
    """The flatbuffer of one signature of a SavedModel; its function says what is in it where that goes wrong.

    Raises:
        UnsupportedError: an op or type that TFLite does not have.
        ExportError: the converter failed otherwise, or left the weights behind.
    """
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved), signature_keys=[name])
    if flex:
        sets = tf.lite.OpsSet
        converter.target_spec.supported_ops = [sets.TFLITE_BUILTINS, sets.SELECT_TF_OPS]
    try:
        content: bytes = converter.convert()
    except Exception as error:  # the converter raises its own class, and whatever MLIR runs into
        raise _converter_error(name, function, str(error)) from error
    # A graph whose variables were not restored converts to a few kB of garbage without any error.
    if _lost_variables(content):
        raise ExportError(
            f"TFLite left the variables of '{name}' out of the file",
            hint="this is a bug of the export; please report it",
        )
    return content


def _converter_error(name: str, function: Any, text: str) -> ExportError:
    graph_def = function.graph.as_graph_def()
    if "element_shape to be static" in text or "TensorListReserve" in text:
        loops = layers_of(graph_def, "While", "StatelessWhile", "TensorListReserve")
        return UnsupportedError(
            f"TFLite cannot hold the loop (TensorListReserve) of layer {next(iter(loops.values()), name)}: "
            "its state grows with the open batch",
            hint="give the model a fixed batch, or build the recurrent layer with unroll=True",
        )
    # The compiler names each op twice; the second form also holds those that it made itself while it lowered others.
    listed = ", ".join(re.findall(r"^(?:Custom|Flex|TF Select) ops: (.+)$", text, re.MULTILINE))
    missing = {*re.findall(r"'tf\.(\w+)' op is neither", text), *re.findall(r"\w+", listed)}
    if missing:
        layers = layers_of(graph_def, *missing)
        named = ", ".join(f"{op} (layer {layers.get(op, 'unknown')})" for op in sorted(missing))
        return UnsupportedError(
            f"TFLite has no {named} of '{name}'",
            hint="replace the op by ones that TFLite has, or serve the SavedModel or ONNX",
            ops=missing,
        )
    lines = [line.strip() for line in text.splitlines() if line.strip()] or ["no reason given"]
    telling = next((line for line in lines if "error" in line.lower()), lines[0])
    return ExportError(f"TFLite could not convert '{name}': {telling:.300}", hint="-v shows what the converter wrote")


def _lost_variables(content: bytes) -> bool:
    """Whether a variable is read that nothing in the file gives a value at the start."""
    from tensorflow.lite.python import schema_py_generated as schema

    builtin = schema.BuiltinOperator
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    codes = [code.builtinCode for code in model.operatorCodes]
    graphs = [[(codes[op.opcodeIndex], op.builtinOptions) for op in graph.operators or ()] for graph in model.subgraphs]
    first = {options.initSubgraphIndex for ops in graphs for code, options in ops if code == builtin.CALL_ONCE}

    def handles(chosen: Iterable[int]) -> set[bytes]:
        return {options.sharedName for at in chosen for code, options in graphs[at] if code == builtin.VAR_HANDLE}

    return bool(handles(range(len(graphs))) - handles(first))


def known_ops() -> Collection[str]:
    """Op types that TensorFlow 2.21's converter was seen to convert, each in a graph of its own or in a model."""
    return Path(__file__).with_name("tflite_ops.txt").read_text(encoding="ascii").split()


FORMAT = Format(
    name="tflite",
    export=export,
    weight_limit_bytes=LIMIT_BYTES,
    reads=("fixed_batch", "allow_flex"),
    takes=known_ops,
    lacking=LACKS.of,
)
