#!/usr/bin/env python3
"""Builds every model of tests/zoo in every format and writes docs/coverage.md from what came out.

Usage: PYTHONPATH=. python scripts/coverage.py [NAME...]; with names only these are built, and nothing is written.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.zoo.families import specimens  # noqa: E402  # the repository's folder is on the path only now
from tests.zoo.specimen import Specimen  # noqa: E402
from toolkit.building.machine import toolchain  # noqa: E402
from toolkit.building.matrix import Matrix, matrix  # noqa: E402

FORMATS = ("saved_model", "tflite", "onnx")
HEAD = """# Coverage

What becomes of {count} small models, one or more for each class of models that people have, in each format. This page
is made: `PYTHONPATH=. python scripts/coverage.py` builds all of them and writes it. `pass` means that the file was
run in its own runtime and gave the eager model's answers at batch 1, 7 and 32, within the [tolerance](bundle.md). Size
and seconds are of the export, on {cores} cores that others used too. `scripts/test.sh --all` holds every verdict
against what is written down in `tests/zoo`, so that a loss and a gain are both noticed.

A SavedModel holds the very ops that eager runs. Where Grappler leaves them alone (`disable_meta_optimizer` of the
Session), the graph-mode loader gives eager's answers bit for bit, error 0; `tests/zoo/test_bits.py` asks that of every
model. Two with exact GELU differ in the last digit (2.4e-07) for a reason that was not found. With Grappler, as servers
run, fused and reordered ops moved 10 of the 89 models that were tried by 2e-06 at most.

{toolchain}.

| | {headings} |
|---|{rule}|
| right | {right} |

"""


def main(names: Sequence[str]) -> int:
    """Builds, and writes the page; gives how many artifacts answered wrong."""
    chosen = [specimen for specimen in specimens() if not names or specimen.name in names]
    with TemporaryDirectory() as folder:
        found = matrix(*(specimen.spec for specimen in chosen), formats=FORMATS, root=folder)
    page = _page(found, chosen)
    if names:
        print(page)
    else:
        (ROOT / "docs" / "coverage.md").write_text(page, encoding="utf-8")
    print(*(f"{name}: {found.passed(name)} of {len(chosen)}" for name in found.formats), sep=", ")
    return sum(cell.status == "fail" for row in found.rows for cell in row.cells)


def _page(found: Matrix, chosen: Sequence[Specimen]) -> str:
    versions = toolchain()
    shown = ("tensorflow", "keras", "tf2onnx", "onnx", "onnxruntime", "ai-edge-litert")
    head = HEAD.format(
        count=len(chosen),
        cores=os.cpu_count(),
        toolchain="Measured with " + ", ".join(f"{name} {versions[name]}" for name in shown if name in versions),
        headings=" | ".join(found.formats),
        rule="|".join("---" for _ in found.formats),
        right=" | ".join(f"{found.passed(name)} of {len(chosen)}" for name in found.formats),
    )
    families = {specimen.name: specimen.family for specimen in chosen}
    lines = found.to_markdown().splitlines()
    table, reasons = lines[: len(chosen) + 3], lines[len(chosen) + 4 :]
    rows = ["| class " + table[0], "|---" + table[1]]
    rows += [f"| {families[row.model]} {line}" for row, line in zip(found.rows, table[2:-1], strict=True)]
    return head + "\n".join([*rows, "", "## What cannot be held, and what to do", "", *reasons]) + "\n"


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1:]), 1))
