"""What the tests of serving share: a disk, a loader, and models that answer without TensorFlow."""

from pathlib import Path

import pytest

from tests.serving.fakes import Disk, FakeLoader


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    """Base paths of models, empty."""
    return Disk(tmp_path)


@pytest.fixture
def load() -> FakeLoader:
    """Loads what is on that disk."""
    return FakeLoader()
