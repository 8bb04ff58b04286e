"""TFLite in fewer bits: int16x8."""

from toolkit.formats.precision.tflite import tflite_format

FORMAT = tflite_format("int16x8")
