"""Modules and functions stay short enough to be read at one sitting."""

import ast
from collections.abc import Iterator
from pathlib import Path

FOLDERS = ("toolkit", "models", "scripts", "benchmarks", "tests")
MODULE_LINES = 300
FUNCTION_LINES = 40


def test_no_module_or_function_is_too_long(root: Path) -> None:
    assert list(too_long(root)) == []


def test_one_line_too_many_is_found_and_a_full_one_passes(tmp_path: Path) -> None:
    (tmp_path / "toolkit").mkdir()
    long, full = "\n    1" * FUNCTION_LINES, "\n    1" * (FUNCTION_LINES - 1)
    (tmp_path / "toolkit" / "functions.py").write_text(f"@mark\ndef long():{long}\nasync def full():{full}\n")
    (tmp_path / "toolkit" / "long.py").write_text("1\n" * (MODULE_LINES + 1))
    (tmp_path / "toolkit" / "full.py").write_text("1\n" * MODULE_LINES)
    assert [found.split(": ")[0] for found in too_long(tmp_path)] == ["toolkit/functions.py:2", "toolkit/long.py"]


def too_long(root: Path) -> Iterator[str]:
    for path in sorted(path for folder in FOLDERS for path in (root / folder).rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        place = path.relative_to(root)
        if (lines := len(source.splitlines())) > MODULE_LINES:
            yield f"{place}: {lines} lines, {MODULE_LINES} at most"
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION_LINES:
                    yield f"{place}:{node.lineno}: {node.name} has {lines} lines, {FUNCTION_LINES} at most"
