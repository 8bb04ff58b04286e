"""The signatures of the recorded models, read without TensorFlow."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from toolkit.wire.signatures import ServedSignature, read_saved_model

# The names under which the recorded server had the models.
SERVED_AS = {
    "hp2": "saved_model_half_plus_two_cpu/00000123",
    "default": "saved_model_half_plus_two_cpu/00000123",
    "hp2v": "saved_model_half_plus_two_2_versions/00000124",
    "hp3": "saved_model_half_plus_three/00000123",
    "with/slash and space": "saved_model_half_plus_three/00000123",
    "hp2tf2": "saved_model_half_plus_two_tf2_cpu/00000123",
    "counter": "saved_model_counter/00000123",
    "types": "types/1",
    "cls": "cls/1",
    "mlp": "mlp/1",
}


@pytest.fixture(scope="session")
def served(root: Path) -> Mapping[str, Mapping[str, ServedSignature]]:
    """Signatures of each recorded model by the name it was served under."""
    models = root / "tests" / "golden" / "data" / "models"
    return {
        name: read_saved_model((models / place / "saved_model.pb").read_bytes()) for name, place in SERVED_AS.items()
    }
