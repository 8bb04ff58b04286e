"""ONNX in fewer bits: int8."""

from toolkit.formats.precision.onnx import onnx_format

FORMAT = onnx_format("int8")
