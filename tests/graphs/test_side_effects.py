"""Python side effects in code that would be traced are found by reading it, with file and line, and nothing else is."""

import builtins
import functools
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tests.graphs import traced_code
from tests.graphs.traced_code import CLEAN, FOUND, asks_a_lazy_library, asks_prints, prints
from toolkit.graphs.side_effects import side_effects_of

LINES = Path(traced_code.__file__).read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize(("function", "expected"), FOUND)
def test_a_side_effect_is_found_where_it_stands(function: Any, expected: list[str]) -> None:
    found = side_effects_of(None, [function])
    assert sorted(_what(text) for text in found) == sorted(expected)
    for text in found:
        file, line, _ = text.split(":", 2)
        assert (file, LINES[int(line) - 1].endswith("# found")) == (traced_code.__file__, True), text


def _what(text: str) -> str:
    return text.split(": ", 1)[1].removesuffix(" runs at trace time only")


@pytest.mark.parametrize("function", CLEAN)
def test_what_is_gone_after_the_call_and_what_only_reads_is_no_finding(function: Any) -> None:
    assert side_effects_of(None, [function]) == ()


def test_libraries_are_left_out() -> None:
    # json writes attributes and appends to lists of its own; logging takes locks.
    import json

    assert side_effects_of(None, [json.dumps, builtins.sorted, np.median]) == ()


def test_a_library_that_cannot_load_a_part_of_itself_is_no_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    lazy = ModuleType("lazy")
    lazy.__file__ = "/usr/lib/site-packages/lazy.py"

    def load(name: str) -> Any:
        raise ImportError(f"{name} needs more")

    lazy.__getattr__ = load  # type: ignore[method-assign]
    monkeypatch.setattr(traced_code, "LAZY", lazy)
    assert side_effects_of(None, [asks_a_lazy_library]) == ()


def test_code_that_cannot_be_read_is_no_finding() -> None:
    made: dict[str, Any] = {}
    exec("def traced(x):\n    print(x)\n", made)
    assert side_effects_of(None, [made["traced"]]) == ()


def test_each_finding_is_told_once() -> None:
    assert len(side_effects_of(None, [prints, asks_prints, functools.partial(prints)])) == 1
