"""The gate of quantized artifacts, on figures made by hand."""

from dataclasses import replace

import numpy as np
import pytest

from toolkit.building import lossy
from toolkit.core.artifact import Artifact, Quality
from toolkit.core.parity import Check, Deviation, Parity, Tolerance
from toolkit.formats.precision.calibration import warnings
from toolkit.verifying.noise import decibels

PLAIN = Artifact("tflite", "tflite", "", "tflite", {}, 1000, "", {}, 0.1, Parity("pass"))


@pytest.mark.parametrize(
    ("quality", "noise", "said"),
    [
        (Quality("accuracy", 0.98, 0.975), {"y": 5.0}, ""),
        (Quality("accuracy", 0.98, 0.96), {"y": 50.0}, "accuracy falls from 0.9800 to 0.9600, 0.01 allowed"),
        (Quality("accuracy", 1.0, 0.99), {}, ""),
        (Quality("accuracy", 0.98, float("nan")), {"y": 50.0}, "accuracy falls"),
        (Quality("accuracy", 0.9, 0.95), {}, ""),
        (None, {"y": 25.0, "z": 20.0}, ""),
        (None, {"y": 25.0, "z": 19.9}, "'z' has a signal-to-noise ratio of 19.9 dB, 20 dB wanted"),
        (None, {"y": float("nan")}, "'y' has a signal-to-noise ratio"),
        (None, {"y": float("inf")}, ""),
        (None, {}, ""),
    ],
)
def test_the_task_decides_and_without_one_the_noise(
    quality: Quality | None, noise: dict[str, float], said: str
) -> None:
    found = lossy.problem(quality, noise, 0.01)
    assert found.startswith(said) if said else found == ""


def test_what_was_found_is_what_later_verdicts_allow() -> None:
    def deviation(value: float) -> Deviation:
        return Deviation(value, 0.0, None, 0.97, Tolerance(0.0, 0.0), True)

    checks = (
        Check("serving_default", "tflite", (1,), {"y": deviation(0.1), "same": deviation(0.0)}),
        Check("serving_default", "other", (1,), {"y": deviation(0.2)}),
    )
    parity = Parity("pass", "", checks)
    text = lossy.words(Quality("accuracy", 0.98, 0.97), {"y": 31.25}, parity)
    assert text == (
        "accuracy 0.9700 (eager 0.9800); argmax agrees in 97.0% of the rows; SNR 31.2 dB (worst output 'y'); "
        "largest difference 0.2"
    )
    allowed = lossy.recorded(parity, text)
    assert {name: (round(word.value, 6), word.reason) for name, word in allowed.items()} == {"y": (0.3, text)}


def test_size_and_speed_say_why_not() -> None:
    small, large = replace(PLAIN, size_bytes=260), replace(PLAIN, size_bytes=1200)
    assert lossy.size_note(small, PLAIN) == "0.26 x the size of tflite"
    assert "not smaller" in lossy.size_note(large, PLAIN)
    assert lossy.speed_note(1.5, PLAIN, ["3 ops stay in float"]).endswith("(batch 1, one thread)")
    assert "not faster, 3 ops stay in float" in lossy.speed_note(0.5, PLAIN, ["3 ops stay in float"])


@pytest.mark.parametrize(("signal", "noise", "wanted"), [(100.0, 1.0, 20.0), (1.0, 0.0, np.inf), (0.0, 1.0, -np.inf)])
def test_decibels(signal: float, noise: float, wanted: float) -> None:
    assert decibels(signal, noise) == wanted


def test_a_poor_calibration_is_said_with_its_figures() -> None:
    rng = np.random.default_rng(0)
    good = [{"x": rng.uniform(-1, 1, (1, 4)).astype(np.float32)} for _ in range(200)]
    held_out = [{"x": rng.uniform(-1, 1, (50, 4)).astype(np.float32)}]
    assert warnings(good, held_out) == []
    still = [{"x": feed["x"] * np.array([[1, 1, 0, 1]], np.float32)} for feed in good]
    narrow = [{"x": feed["x"] * np.float32(0.1)} for feed in good]
    assert warnings(good[:5], held_out)[0] == "calibration has 5 rows; 100 or more give steadier ranges"
    assert warnings(still, held_out) == ["calibration never changes 1 of 4 channels of 'x'"]
    (found,) = warnings(narrow, held_out)
    assert found.startswith("calibration covers -0.09994 to 0.0999 of 'x'")
    assert "evaluation has -0.9996" in found
    wide = [{"x": feed["x"] * np.float32(5)} for feed in good]
    (found,) = warnings(wide, held_out)
    assert found.startswith("calibration covers -4.9")
