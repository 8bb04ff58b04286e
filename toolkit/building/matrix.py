"""Turns the outcomes of several builds into one table of models and formats: text, Markdown and JSON."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.building.pipeline import Outcome
from toolkit.building.several import BuildRequest, build_all, references_of
from toolkit.core.artifact import Artifact
from toolkit.core.files import storage_errors
from toolkit.errors import ToolkitError

SCHEMA = 1
NAME = "matrix"
_STEPS = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def matrix(*models: Any, formats: Sequence[str] = (), root: str | Path | None = None) -> "Matrix":
    """Build models and give what became of each in each format; bundles are published as ever.

    Args:
        models: references, ModelSpecs or factories of Keras models; none is every model of the project.
        formats: artifact names; none is every format.
        root: the project's folder; None finds it from the current one.

    Raises:
        ToolkitError: an argument makes no sense; what is wrong with a model stands in its row.
    """
    request = BuildRequest(models, tuple(formats), root=root)
    return Matrix.of(references_of(request)[1], build_all(request))


@dataclass(frozen=True)
class Cell:
    """What became of one model in one format.

    Args:
        status: pass, fail or skipped.
        seconds: what the export took.
        max_abs: the largest difference from eager; None where nothing was compared.
        reason: why it did not pass.
    """

    format: str
    status: str
    size_bytes: int
    seconds: float
    max_abs: float | None
    reason: str = ""

    @property
    def text(self) -> str:
        """The verdict; size and seconds where a file was made."""
        if self.status != "pass":
            return self.status
        number = next((f"{self.size_bytes / step:.1f} {unit}" for step, unit in _STEPS if self.size_bytes >= step), "")
        return f"pass {number or f'{self.size_bytes} B'} {self.seconds:.1f} s"


@dataclass(frozen=True)
class Row:
    """One model: a cell a format, or why there is none."""

    model: str
    cells: tuple[Cell, ...]
    error: str = ""


@dataclass(frozen=True)
class Matrix:
    """Models by formats."""

    rows: tuple[Row, ...]

    @classmethod
    def of(cls, names: Sequence[str], outcomes: Sequence[Outcome | ToolkitError]) -> "Matrix":
        """The matrix of builds, whose references stand in for the names of models that did not come so far."""
        rows = []
        for name, outcome in zip(names, outcomes, strict=True):
            if isinstance(outcome, ToolkitError):
                rows.append(Row(name, (), outcome.message))
            else:
                manifest = outcome.manifest
                rows.append(Row(manifest.model, tuple(map(_cell, manifest.artifacts))))
        return cls(tuple(rows))

    @property
    def formats(self) -> list[str]:
        """Every format that some model was asked for, in the order of the builds."""
        return list(dict.fromkeys(cell.format for row in self.rows for cell in row.cells))

    def passed(self, name: str) -> int:
        """How many models came out right in a format."""
        return sum(cell.format == name and cell.status == "pass" for row in self.rows for cell in row.cells)

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Headings and rows of text; the last row counts."""
        formats = self.formats
        rows = []
        for row in self.rows:
            cells = {cell.format: cell.text for cell in row.cells}
            rows.append([row.model, *(cells.get(name, "error" if row.error else "-") for name in formats)])
        rows.append(["passed", *(f"{self.passed(name)} of {len(self.rows)}" for name in formats)])
        return ["model", *formats], rows

    def remarks(self) -> list[str]:
        """A line for each cell that did not pass."""
        lines = []
        for row in self.rows:
            lines += [f"{row.model}: {row.error}"] if row.error else []
            lines += [f"{row.model} as {cell.format} {cell.status}: {cell.reason}" for cell in row.cells if cell.reason]
        return lines

    def to_markdown(self) -> str:
        """The table, and below it the reasons."""
        headings, rows = self.table()
        lines = [_markdown_row(headings), _markdown_row(["---"] * len(headings)), *map(_markdown_row, rows)]
        remarks = [f"- {_escaped(line)}" for line in self.remarks()]
        return "\n".join([*lines, *(["", *remarks] if remarks else [])]) + "\n"

    def to_json(self) -> dict[str, Any]:
        """The document."""
        return {
            "schema": SCHEMA,
            "models": [
                {"model": row.model, "error": row.error, "artifacts": [vars(cell) for cell in row.cells]}
                for row in self.rows
            ],
        }

    def write(self, directory: Path) -> list[Path]:
        """Writes matrix.md and matrix.json, each whole or not at all; gives their paths."""
        with storage_errors(directory):
            directory.mkdir(parents=True, exist_ok=True)
        document = json.dumps(self.to_json(), indent=1, ensure_ascii=False) + "\n"
        written = []
        for suffix, text in ((".md", self.to_markdown()), (".json", document)):
            written.append(directory / f"{NAME}{suffix}")
            _write(written[-1], text)
        return written


def _cell(artifact: Artifact) -> Cell:
    parity = artifact.parity
    return Cell(
        artifact.name,
        parity.status,
        artifact.size_bytes,
        artifact.export_seconds,
        parity.max_abs if parity.max_abs is not None and parity.max_abs != float("inf") else None,
        parity.reason,
    )


def _write(path: Path, text: str) -> None:
    with storage_errors(path):
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)


def _markdown_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_escaped, cells))} |"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")
