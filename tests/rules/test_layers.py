"""Reads every import in toolkit/ and holds it against the order of the layers in docs/architecture.md."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

# The last is toolkit/__init__.py, which hands out names of all others.
LAYERS = (
    "errors < core < wire < graphs < formats < runtimes < verifying < building"
    " < serving < measure < deploying < insight < api < cli"
)
ORDER = [*LAYERS.split(" < "), "toolkit"]


def test_the_order_is_the_documented_one(root: Path) -> None:
    assert LAYERS in " ".join((root / "docs" / "architecture.md").read_text(encoding="utf-8").split())


def test_each_package_imports_only_from_its_left(root: Path) -> None:
    assert violations(root) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("core/plugins.py", "from toolkit.wire import rest"),
        ("core/plugins.py", "from toolkit import wire"),
        ("core/plugins.py", "import toolkit.wire.rest as rest"),
        ("core/plugins.py", "from toolkit import ModelSpec"),
        ("core/plugins.py", "import toolkit"),
        ("errors.py", "from .core import tensors"),
        ("formats/rewrites/gelu.py", "from ... import runtimes"),
        ("formats/rewrites/gelu.py", "from ...runtimes import onnx"),
        ("wire/rest.py", "def parse():\n    from toolkit.graphs.census import census"),
        ("wire/rest.py", "if TYPE_CHECKING:\n    from toolkit.api import build"),
        ("wire/rest.py", "import_module('toolkit.serving.engine')"),
        ("wire/rest.py", "importlib.import_module('toolkit.serving.engine')"),
        ("surprise/new.py", "import os"),
    ],
)
def test_a_planted_violation_is_found(tmp_path: Path, module: str, source: str) -> None:
    plant(tmp_path, module, source)
    assert len(violations(tmp_path)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("wire/rest.py", "from toolkit.core.tensors import Signature"),
        ("wire/rest.py", "from toolkit.wire import messages"),
        ("formats/rewrites/gelu.py", "from ..onnx import FORMAT\nfrom ...errors import ExportError"),
        ("building/pipeline.py", "from toolkit import __version__"),
        ("cli/main.py", "import_module('toolkit.cli.build')\nimport toolkitten"),
        ("__init__.py", "from toolkit.api import build"),
    ],
)
def test_an_import_from_the_left_passes(tmp_path: Path, module: str, source: str) -> None:
    plant(tmp_path, module, source)
    assert violations(tmp_path) == []


def plant(root: Path, module: str, source: str) -> None:
    path = root / "toolkit" / module
    path.parent.mkdir(parents=True)
    path.write_text(source)


def violations(root: Path) -> list[str]:
    found = []
    for path in sorted((root / "toolkit").rglob("*.py")):
        place = path.relative_to(root)
        importer = layer(name_of(place))
        if importer not in ORDER:
            found.append(f"{place}: '{importer}' has no place in the order of layers")
            continue
        for line, target in imports(path, place):
            imported = layer(target)
            if imported not in ORDER or ORDER.index(imported) > ORDER.index(importer):
                found.append(f"{place}:{line}: {importer} imports {target}")
    return found


def name_of(place: Path) -> str:
    parts = place.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def layer(module: str) -> str:
    return module.split(".")[1] if "." in module else module


def imports(path: Path, place: Path) -> Iterator[tuple[int, str]]:
    """Every import of something in toolkit, wherever it stands: its line and full name."""
    package = list(place.parent.parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        for target in targets(node, package):
            if target.split(".")[0] == "toolkit":
                yield getattr(node, "lineno", 0), target


def targets(node: ast.AST, package: list[str]) -> list[str]:
    match node:
        case ast.Import(names=names):
            return [alias.name for alias in names]
        case ast.ImportFrom(module=module, names=names, level=level):
            above = package[: len(package) - level + 1] if level else []
            base = ".".join([*above, *([module] if module else [])])
            return [meaning(base, alias.name) for alias in names]
        case ast.Call(func=ast.Name(id="import_module") | ast.Attribute(attr="import_module"), args=[first, *_]):
            return [first.value] if isinstance(first, ast.Constant) and isinstance(first.value, str) else []
    return []


def meaning(base: str, name: str) -> str:
    """`from toolkit import core` names the layer core; `from toolkit import ModelSpec` asks the outermost file."""
    if base != "toolkit":
        return base
    if name == "__version__":
        return "toolkit.errors"  # a plain fact that stands in the file itself: open to all, as errors are
    return f"toolkit.{name}" if name in ORDER else "toolkit"
