"""ONNX in fewer bits: dynamic."""

from toolkit.formats.precision.onnx import onnx_format

FORMAT = onnx_format("dynamic")
