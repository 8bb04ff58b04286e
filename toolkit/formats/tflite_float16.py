"""TFLite in fewer bits: float16."""

from toolkit.formats.precision.tflite import tflite_format

FORMAT = tflite_format("float16")
