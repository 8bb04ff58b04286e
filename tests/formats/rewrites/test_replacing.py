"""Each rewrite of ops makes a file that agrees with eager, says so, and is needed for it."""

from pathlib import Path

import pytest

from tests.formats.rewrites.choice_cases import CHOICE_CASES
from tests.formats.rewrites.more_op_cases import MORE_CASES
from tests.formats.rewrites.one_op import Case, answers, differences, only
from tests.formats.rewrites.op_cases import CASES
from toolkit.errors import ToolkitError
from toolkit.formats.rewrites import rewrite

EVERY = (*CASES, *MORE_CASES, *CHOICE_CASES)
KINDS = ("tflite", "onnx")
# tf2onnx takes 5 to 10 s for these; in TFLite the same rewrites are asked in 2 to 6 s.
SLOW = {("orthogonal", "onnx"), ("philox", "onnx")}
ALL = [
    pytest.param(case, kind, marks=[pytest.mark.long] if (case.rewrite, kind) in SLOW else [])
    for case in EVERY
    for kind in KINDS
]
NEEDED = [(case, kind) for case in EVERY for kind in case.needed]


def named(found: object) -> str:
    return found.rewrite if isinstance(found, Case) else str(found)


@pytest.mark.parametrize(("case", "kind"), ALL, ids=named)
def test_the_file_agrees_with_eager(case: Case, kind: str, tmp_path: Path) -> None:
    traced = case.traced()
    notes, pairs = answers(traced, kind, tmp_path)
    assert differences(pairs, case.tolerance) == []
    if kind in case.needed:
        assert [note for note in notes if "(layer " in note or "computes in float32" in note]


@pytest.mark.long
@pytest.mark.parametrize(("case", "kind"), NEEDED, ids=named)
def test_without_the_rewrite_it_does_not(
    case: Case, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rest = only(case.rewrite, kind)
    monkeypatch.setattr(rewrite, "rewrites_for", lambda _: rest)
    try:
        _, pairs = answers(case.traced(), kind, tmp_path)
    except ToolkitError:
        return
    assert differences(pairs, case.tolerance)
