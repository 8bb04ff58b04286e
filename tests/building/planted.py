"""Formats that plant one fault each into what they write; reached through entry points, as anybody's own would be."""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from toolkit.core.model import TracedModel
from toolkit.core.plugins import FORMATS, Format

WALL = b"a line of a wall of text\n" * 200_000  # 5 MB


def _onnx(plant: Callable[[Any], None]) -> Callable[[TracedModel, Path], Sequence[str] | None]:
    def export(traced: TracedModel, directory: Path) -> None:
        import onnx

        FORMATS.load("onnx").export(traced, directory)
        for file in directory.iterdir():
            model = onnx.load(file)
            plant(model)
            onnx.save(model, file)

    return export


def weight_in_onnx(value: float) -> Callable[[Any], None]:
    def plant(model: Any) -> None:
        from onnx import numpy_helper

        for tensor in model.graph.initializer:
            array = numpy_helper.to_array(tensor).copy()
            if 4.0 in array:
                array[array == 4.0] = value
                tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))

    return plant


def _leave_an_op(model: Any) -> None:
    from onnx import helper

    _insert(model, lambda source, result: [helper.make_node("Erfc", [source], [result], name="head/Erfc")])


def _make_noise(model: Any) -> None:
    import numpy as np
    from onnx import helper, numpy_helper

    model.graph.initializer.append(numpy_helper.from_array(np.float32(1e-6), "tiny"))
    _insert(
        model,
        lambda source, result: [
            helper.make_node("RandomUniformLike", [source], ["noise"]),
            helper.make_node("Mul", ["noise", "tiny"], ["less"]),
            helper.make_node("Add", [source, "less"], [result]),
        ],
    )


def _insert(model: Any, nodes: Callable[[str, str], Sequence[Any]]) -> None:
    """Puts nodes between what computes the output and the output."""
    (result,) = (value.name for value in model.graph.output)
    for node in model.graph.node:
        node.output[:] = ["before" if name == result else name for name in node.output]
    model.graph.node.extend(nodes("before", result))


def _rename(model: Any) -> None:
    (value,) = model.graph.output
    for node in model.graph.node:
        node.output[:] = ["renamed" if name == value.name else name for name in node.output]
    value.name = "renamed"


def _naive(traced: TracedModel, directory: Path) -> None:
    import tensorflow as tf

    tf.saved_model.save(traced.owner, str(directory), signatures=dict(traced.functions))


def _weight_in_saved_model(traced: TracedModel, directory: Path) -> None:
    (weights,) = (variable for variable in traced.owner.variables if len(variable.shape) == 2)
    original = weights.numpy()
    off = original.copy()
    off[off == 4.0] = 4.01
    weights.assign(off)
    FORMATS.load("saved_model").export(traced, directory)
    weights.assign(original)


def _without_weights(traced: TracedModel, directory: Path) -> None:
    import tensorflow as tf

    for name, function in traced.functions.items():
        converter = tf.lite.TFLiteConverter.from_concrete_functions([function], traced.owner)
        (directory / f"{name}.tflite").write_bytes(converter.convert())


def _weight_in_tflite(traced: TracedModel, directory: Path) -> None:
    import numpy as np

    FORMATS.load("tflite").export(traced, directory)
    for file in directory.iterdir():
        content, four = file.read_bytes(), np.float32(4).tobytes()
        assert content.count(four) == 1, "the weight cannot be told from the rest of the file"
        file.write_bytes(content.replace(four, np.float32(4.01).tobytes()))


def _misnamed(traced: TracedModel, directory: Path) -> None:
    import tensorflow as tf

    restored = tf.saved_model.load(str(directory.parent / "saved_model"))
    for name in traced.signatures:
        converter = tf.lite.TFLiteConverter.from_concrete_functions([restored.signatures[name]], restored)
        (directory / f"{name}.tflite").write_bytes(converter.convert())


def _one_signature_only(traced: TracedModel, directory: Path) -> None:
    FORMATS.load("onnx").export(traced, directory)
    next(directory.iterdir()).unlink()


def _nothing(_: TracedModel, __: Path) -> None:
    return


def _raise(_: TracedModel, __: Path) -> None:
    raise ZeroDivisionError("a line\nand another")


def _segfault(_: TracedModel, directory: Path) -> None:
    (directory / "serving_default.onnx").write_bytes(b"half a file")
    os.write(2, b"about to read nothing\n")
    ctypes.string_at(0)


def _sleep(_: TracedModel, __: Path) -> None:
    while True:
        signal.pause()


def _shout(traced: TracedModel, directory: Path) -> None:
    for descriptor in (1, 2):
        os.write(descriptor, WALL)
    sys.stdout.write("and some more")
    FORMATS.load("onnx").export(traced, directory)


def _exit(_: TracedModel, __: Path) -> None:
    sys.exit(3)


def _exit_at_once(_: TracedModel, __: Path) -> None:
    os._exit(3)


def _grandchild(traced: TracedModel, directory: Path) -> None:
    """Leaves a process behind, whose number is in the one place that the parent sees: next to the stage."""
    started = subprocess.Popen(["sleep", "1000"])
    (directory.parent.parent / "grandchild").write_text(str(started.pid))
    _sleep(traced, directory)


def _unpack(_: TracedModel, directory: Path) -> None:
    shutil.rmtree(directory)


NAIVE = Format("naive", _naive, kind="saved_model", isolated=False)
OFF_SAVED_MODEL = Format("off-saved-model", _weight_in_saved_model, kind="saved_model", isolated=False)
NO_WEIGHTS = Format("no-weights", _without_weights, kind="tflite", isolated=False)
OFF_TFLITE = Format("off-tflite", _weight_in_tflite, kind="tflite", isolated=False)
OFF_ONNX = Format("off-onnx", _onnx(weight_in_onnx(4.01)), kind="onnx", isolated=False)
NAN_ONNX = Format("nan-onnx", _onnx(weight_in_onnx(float("nan"))), kind="onnx", isolated=False)
LEFTOVER = Format("leftover", _onnx(_leave_an_op), kind="onnx", isolated=False)
UNSTEADY = Format("unsteady", _onnx(_make_noise), kind="onnx", isolated=False)
RENAMED = Format("renamed", _onnx(_rename), kind="onnx", isolated=False)
MISNAMED = Format("misnamed", _misnamed, kind="tflite", isolated=False)
HALF = Format("half", _one_signature_only, kind="onnx", isolated=False)
EMPTY = Format("empty", _nothing, kind="onnx", isolated=False)
RAISES = Format("raises", _raise, kind="onnx", isolated=False)
RAISES_IN_CHILD = Format("raises-in-child", _raise, kind="onnx")
GONE = Format("gone", _unpack, kind="onnx", isolated=False)
SEGFAULTS = Format("segfaults", _segfault, kind="onnx")
SLEEPS = Format("sleeps", _sleep, kind="onnx")
SHOUTS = Format("shouts", _shout, kind="onnx")
EXITS = Format("exits", _exit, kind="onnx")
EXITS_AT_ONCE = Format("exits-at-once", _exit_at_once, kind="onnx")
LEAVES_A_GRANDCHILD = Format("leaves-a-grandchild", _grandchild, kind="onnx")


def install(folder: Path) -> None:
    """Makes a distribution of these formats in a folder, as pip would have."""
    info = folder / "planted-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: planted\nVersion: 1.0\n")
    points = [f"{found.name} = {__name__}:{name}" for name, found in globals().items() if isinstance(found, Format)]
    (info / "entry_points.txt").write_text("[tfx_export.formats]\n" + "\n".join(points) + "\n")
