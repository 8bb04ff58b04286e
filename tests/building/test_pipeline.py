"""A shipped model goes in, a proven bundle comes out."""

from collections.abc import Callable
from pathlib import Path

import pytest

from toolkit.core.artifact import read_manifest


@pytest.mark.parametrize("name", ["square", "mlp", "detector"])
def test_every_float_artifact_of_a_numeric_model_passes(name: str, shipped: Callable[[str], Path]) -> None:
    manifest = read_manifest(shipped(name))
    assert {artifact.name: artifact.parity.status for artifact in manifest.artifacts} == {
        "saved_model": "pass",
        "onnx": "pass",
        "tflite": "pass",
    }
