"""What every test shares; loads no TensorFlow, so that light tests stay light."""

from pathlib import Path

import pytest
from hypothesis import settings

# Two cores shared with everything else make single examples slow by chance; the timeout of the whole test stays.
settings.register_profile("house", deadline=None)
settings.load_profile("house")


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return Path(__file__).resolve().parent.parent
