"""TFLite in fewer bits: dynamic."""

from toolkit.formats.precision.tflite import tflite_format

FORMAT = tflite_format("dynamic")
