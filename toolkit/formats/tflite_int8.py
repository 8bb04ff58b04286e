"""TFLite in fewer bits: int8."""

from toolkit.formats.precision.tflite import tflite_format

FORMAT = tflite_format("int8")
