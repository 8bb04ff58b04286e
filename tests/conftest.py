"""What every test shares; loads no TensorFlow, so that light tests stay light."""

import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from toolkit.serving.core_listener import choose_polled_sockets

if TYPE_CHECKING:
    from toolkit.building.isolate import Isolated

# Two cores shared with everything else make examples slow by chance; the timeout of the whole test stays.
settings.register_profile("exploring", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# The usual run tries the same examples each time, so that it says of a change what it said before; --all explores.
settings.register_profile("usual", settings.get_profile("exploring"), derandomize=True, max_examples=50)
# As `tfx-export serve` does it, and before any test loads grpcio.
choose_polled_sockets()


def pytest_configure(config: pytest.Config) -> None:
    """Chooses the examples; a script may have put these tests in the background, where SIGINT is ignored by all."""
    settings.load_profile("usual" if "not long" in config.option.markexpr else "exploring")
    signal.signal(signal.SIGINT, signal.default_int_handler)


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


@pytest.fixture
def own_imports(tmp_path: Path) -> Iterator[None]:
    """What a test imports from its own folder, and what it adds to the path, is forgotten after it."""
    path = list(sys.path)
    yield
    sys.path[:] = path
    for name, module in list(sys.modules.items()):
        if Path(getattr(module, "__file__", None) or "/").is_relative_to(tmp_path):
            del sys.modules[name]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_imports: None) -> Path:
    """An empty project, which is the current folder."""
    root = tmp_path / "project"
    (root / "models").mkdir(parents=True)
    (root / "tfx-export.toml").touch()
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def write(project: Path) -> Callable[[str, str], Path]:
    """Writes a file of the project."""

    def write_file(name: str, text: str) -> Path:
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))
        return path

    return write_file
