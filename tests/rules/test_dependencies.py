"""What toolkit/ imports is declared, and each dependency's reason is written down."""

import ast
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def test_toolkit_imports_only_what_pyproject_declares(root: Path) -> None:
    homes, known = packages_distributions(), declared(root)
    foreign = {name for path in (root / "toolkit").rglob("*.py") for name in imported(path) if name != "toolkit"}
    undeclared = {
        name
        for name in foreign - sys.stdlib_module_names
        if not {canonicalize_name(home) for home in homes.get(name, [])} & known
    }
    assert undeclared == set()


def test_the_reason_for_each_dependency_is_written_down(root: Path) -> None:
    text = (root / "docs" / "dependencies.md").read_text(encoding="utf-8").lower()
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = {Requirement(line).name for extra in project["optional-dependencies"].values() for line in extra}
    assert {name for name in wanted | declared(root) if f"`{name.lower()}`" not in text} == set()


def declared(root: Path) -> set[str]:
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {canonicalize_name(Requirement(text).name) for text in project["dependencies"]}


def imported(path: Path) -> set[str]:
    """The top-level packages that a file imports, at its top or inside functions."""
    tree = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    names: list[str] = []
    for node in tree:
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            names.append(node.module)
    return {name.partition(".")[0] for name in names}
