"""What the tests of building share: traces of models without export, and bundles that are built once a session."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from toolkit.building.isolate import Isolated
    from toolkit.building.pipeline import Outcome
    from toolkit.core.model import ModelSpec, TracedModel


@pytest.fixture(scope="session")
def trace() -> "Callable[[ModelSpec], TracedModel]":
    """Builds and traces a spec."""
    from toolkit.building.load import build_model
    from toolkit.building.trace import trace_model

    return lambda spec: trace_model(spec, build_model(spec))


@pytest.fixture(scope="session")
def built(child: "Isolated", tmp_path_factory: pytest.TempPathFactory) -> "Callable[[ModelSpec], Outcome]":
    """Builds a spec once a session; tests copy its bundle before they change it."""
    from toolkit.building.catalog import Entry
    from toolkit.building.pipeline import Options, Outcome, build_bundle

    exported = tmp_path_factory.mktemp("built")
    outcomes: dict[str, Outcome] = {}

    def build(spec: "ModelSpec") -> Outcome:
        if spec.name not in outcomes:
            entry = Entry(spec.name, spec, "0" * 64)
            outcomes[spec.name] = build_bundle(entry, Options(exported), child, lambda _: None)
        return outcomes[spec.name]

    return build
