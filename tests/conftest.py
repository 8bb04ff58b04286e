"""What every test shares; loads no TensorFlow, so that light tests stay light."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from toolkit.building.isolate import Isolated

# Two cores shared with everything else make single examples slow by chance; the timeout of the whole test stays.
settings.register_profile("house", deadline=None)
settings.load_profile("house")


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def child() -> "Iterator[Isolated]":
    """One conversion child for the whole session: its start costs seconds."""
    from toolkit.building import jobs
    from toolkit.building.isolate import Isolated

    with Isolated() as started:
        started.prepare(jobs.warm_up)
        yield started


@pytest.fixture(scope="session")
def shipped(root: Path, child: "Isolated", tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Gives the bundle of a shipped model, built once a session; tests copy it before they change it."""
    from toolkit.building.catalog import resolve
    from toolkit.building.pipeline import Options, build_bundle

    exported = tmp_path_factory.mktemp("exported")
    built: dict[str, Path] = {}

    def bundle(name: str) -> Path:
        if name not in built:
            outcome = build_bundle(resolve(name, root), Options(exported), child, lambda _: None)
            assert outcome.bundle is not None, outcome.error
            built[name] = outcome.bundle
        return built[name]

    return bundle
