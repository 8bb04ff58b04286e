"""What the tests of building share: a project of one's own, and traces of models without export."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from toolkit.core.model import ModelSpec, TracedModel

Write = Callable[[str, str], Path]


@pytest.fixture
def own_imports() -> Iterator[None]:
    """What a test imports and adds to the path is forgotten after it."""
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name, module in list(sys.modules.items()):
        # Only what the test's own files made: a library that is loaded twice would not be the same one.
        if name not in modules and "site-packages" not in (getattr(module, "__file__", None) or "site-packages"):
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
def write(project: Path) -> Write:
    """Writes a file of the project."""

    def write_file(name: str, text: str) -> Path:
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))
        return path

    return write_file


@pytest.fixture(scope="session")
def trace() -> "Callable[[ModelSpec], TracedModel]":
    """Builds and traces a spec."""
    from toolkit.building.load import build_model
    from toolkit.building.trace import trace_model

    return lambda spec: trace_model(spec, build_model(spec))
