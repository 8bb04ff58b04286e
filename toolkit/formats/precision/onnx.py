"""Writes ONNX files in fewer bits, by onnxruntime's quantizers (onnxruntime.ai/docs/performance)."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from toolkit.core.model import TracedModel
from toolkit.core.plugins import Format
from toolkit.core.tensors import Feed
from toolkit.errors import UnsupportedError
from toolkit.formats.onnx import FORMAT, LACKS, export_whole
from toolkit.formats.precision.calibration import calibration_of
from toolkit.formats.precision.variant import variant_format


@dataclass(frozen=True)
class Mode:
    """One way to quantize.

    Args:
        write: from a float file to another, with the feeds where it is calibrated.
        calibrated: whether it reads ranges from data.
    """

    write: Callable[[Path, Path, Sequence[Feed]], None]
    calibrated: bool = False


def _float16(source: Path, target: Path, _: Sequence[Feed]) -> None:
    import onnx
    from onnxruntime.quantization.onnx_model import ONNXModel
    from onnxruntime.transformers.float16 import convert_float_to_float16

    model = ONNXModel(convert_float_to_float16(onnx.load(str(source)), keep_io_types=True))
    model.topological_sort()  # the converter puts its casts at the end
    onnx.save(model.model, str(target))


def _dynamic(source: Path, target: Path, _: Sequence[Feed]) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(source, target, weight_type=QuantType.QInt8, per_channel=True)


def _int8(source: Path, target: Path, feeds: Sequence[Feed]) -> None:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        """Hands out the feeds, one for each call; None ends them."""

        def __init__(self) -> None:
            self._left: Iterator[Feed] = iter(feeds)

        def get_next(self) -> dict[str, Any] | None:
            """The next feed."""
            found = next(self._left, None)
            return None if found is None else dict(found)

    prepared = target.with_suffix(".prepared.onnx")
    quant_pre_process(source, prepared, skip_symbolic_shape=True)
    quantize_static(
        prepared,
        target,
        Reader(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    prepared.unlink()


MODES = {"float16": Mode(_float16), "dynamic": Mode(_dynamic), "int8": Mode(_int8, calibrated=True)}


def onnx_format(variant: str) -> Format:
    """The format of one mode."""
    mode = MODES[variant]
    return variant_format(FORMAT, LACKS, variant, partial(_export_whole, mode), _turning, calibrated=mode.calibrated)


def _turning(path: Path) -> int:
    import onnx

    ops = Counter(node.op_type for node in onnx.load(str(path), load_external_data=False).graph.node)
    # A pair that no kernel takes in is run as it stands.
    return sum(ops[name] for name in ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "Cast"))


def _export_whole(mode: Mode, traced: TracedModel, directory: Path) -> Sequence[str]:
    feeds = {name: calibration_of(traced, name) if mode.calibrated else () for name in traced.functions}
    with TemporaryDirectory(dir=directory) as folder:
        notes = export_whole(traced, Path(folder))
        for name, known in feeds.items():
            _write(mode, Path(folder) / f"{name}.onnx", directory / f"{name}.onnx", known)
    return notes


def _write(mode: Mode, source: Path, target: Path, feeds: Sequence[Feed]) -> None:
    try:
        mode.write(source, target, feeds)
    except Exception as error:  # the quantizers raise whatever they run into, without a common class
        target.unlink(missing_ok=True)
        text = next(iter(str(error).splitlines()), type(error).__name__)
        raise UnsupportedError(
            f"onnxruntime does not quantize '{source.stem}' so: {text:.200}", hint="choose another variant"
        ) from error
