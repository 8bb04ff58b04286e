"""ONNX in fewer bits: float16."""

from toolkit.formats.precision.onnx import onnx_format

FORMAT = onnx_format("float16")
