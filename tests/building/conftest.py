"""What the tests of building share: traces of models, without export."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from toolkit.core.model import ModelSpec, TracedModel


@pytest.fixture(scope="session")
def trace() -> "Callable[[ModelSpec], TracedModel]":
    """Builds and traces a spec."""
    from toolkit.building.load import build_model
    from toolkit.building.trace import trace_model

    return lambda spec: trace_model(spec, build_model(spec))
