"""Turns a model's file into the list of all files of its project that define it: itself and what it imports there."""

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path

# Of other projects: their versions are in the toolchain's, not in a digest.
_FOREIGN = ("site-packages", "dist-packages")
_OWN = Path(__file__).resolve().parents[1]


def defining_files(file: Path | None, folders: Sequence[Path]) -> list[Path]:
    """The file and, however far, the modules below `folders` that it imports; sorted but for itself, which is first.

    Read from the source, not from what happens to be loaded, so that the same files always give the same list.
    """
    if file is None or file.suffix != ".py":
        return [file] if file else []
    places = [folder.resolve() for folder in (file.resolve().parent, *folders)]
    found: dict[Path, None] = {}
    waiting = [file.resolve()]
    while waiting:
        source = waiting.pop()
        if source not in found:
            found[source] = None
            waiting += _imports(source, places)
    return [file, *sorted(path for path in found if path != file.resolve())]


def _imports(source: Path, places: Sequence[Path]) -> Iterator[Path]:
    try:
        nodes = list(ast.walk(ast.parse(source.read_bytes())))
    except (SyntaxError, ValueError):
        return  # it does not import either, which whoever needs it will say
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _files(alias.name.split("."), places)
        elif isinstance(node, ast.ImportFrom):
            parts = node.module.split(".") if node.module else []
            homes = [source.parents[node.level - 1]] if node.level else places
            for alias in node.names:
                yield from _files([*parts, alias.name], homes)


def _files(parts: Sequence[str], places: Sequence[Path]) -> Iterator[Path]:
    """The files that importing a dotted name runs, each package's __init__.py included; its end may be no module."""
    for place in places:
        at = place
        for part in parts:
            file, package = at / f"{part}.py", at / part / "__init__.py"
            for path in (file, package):
                if path.is_file() and not _is_foreign(path):
                    yield path.resolve()
            at = at / part


def _is_foreign(path: Path) -> bool:
    return path.resolve().is_relative_to(_OWN) or any(part in _FOREIGN for part in path.parts)
