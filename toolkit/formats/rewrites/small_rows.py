"""Integers of 8 and 16 bits moved about by ops that runtimes have for larger numbers, as numbers of 32."""

from toolkit.formats.rewrites.small_integers import widening

_KINDS = ("ReverseV2", "ReverseSequence", "Tile", "Pad", "PadV2", "MirrorPad", "OneHot", "SpaceToDepth", "DepthToSpace")
REWRITE = widening("small_rows", ("tflite", "onnx"), _KINDS)
