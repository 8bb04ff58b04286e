"""Floats become the integers that TFLite's own op QUANTIZE makes of them, and back."""

import numpy as np
import pytest

from toolkit.core.quantized import Quantized, QuantizedEdges, quantized_from_json, quantized_to_json
from toolkit.runtimes.inprocess.quantized import dequantized, quantized

MEANT = Quantized("int8", 0.5, -3)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.0, -3),
        (0.5, -2),
        (0.25, -2),
        (-0.25, -4),
        (0.24, -3),
        (1e30, 127),
        (-1e30, -128),
        (np.inf, 127),
        (np.nan, -3),
    ],
)
def test_a_float_becomes_the_nearest_integer_in_range(value: float, expected: int) -> None:
    found = quantized(np.array([value], np.float32), MEANT)
    assert (found.dtype.name, int(found[0])) == ("int8", expected)


def test_every_integer_comes_back() -> None:
    every = np.arange(-128, 128, dtype=np.int8)
    floats = dequantized(every, MEANT)
    assert floats.dtype == np.float32
    np.testing.assert_array_equal(quantized(floats, MEANT), every)


def test_the_note_travels_with_its_numbers() -> None:
    import pickle

    note = pickle.loads(pickle.dumps(QuantizedEdges("classify", {"x": MEANT})))  # our own bytes
    assert (note.signature, note.tensors) == ("classify", {"x": MEANT})
    assert note == "the file of 'classify' takes and gives whole numbers: x = 0.5 (int8 +3)"
    written = quantized_to_json({note.signature: note.tensors})
    assert quantized_from_json(written) == {"classify": {"x": MEANT}}
