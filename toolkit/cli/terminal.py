"""Draws a table on a terminal with Rich: within its width, what went well or wrong in colour."""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

_GAP = 2
_USUAL_WIDTH = 80
FASTEST = " *"  # behind the name of the path that won
# By the verdict that a cell gives, a reason in brackets behind it or not; the first that a row holds colours all of it.
_STYLES: Mapping[str, str] = MappingProxyType(
    {"WRONG": "red", "FAILED": "red", "fail": "red", "INVALID": "yellow", "not measured": "dim"}
)


@dataclass(frozen=True)
class _Column:
    """A column: its heading, whether it holds numbers, and from how narrow to how wide it may be."""

    at: int
    heading: str
    number: bool
    least: int
    full: int


def draw(stream: TextIO, headings: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int]) -> None:
    """The rows on a terminal. Text wraps; where numbers do not fit either, the table goes on below, names repeated.

    Args:
        stream: the terminal.
        headings: of the columns; the first holds names.
        rows: cells, as many a row as there are headings.
        right: the columns of numbers, which are never broken.
    """
    width = _width(stream)
    console = Console(file=stream, width=width, markup=False, highlight=False, emoji=False)
    columns = [_column(at, headings, rows, number=at in right) for at in range(len(headings))]
    for at, part in enumerate(_parts(columns, width)):
        if at:
            console.print()
        console.print(_table(part, rows, width))


def _width(stream: TextIO) -> int:
    if os.environ.get("COLUMNS", "").isdecimal():
        return max(1, int(os.environ["COLUMNS"]))
    with suppress(OSError):  # one that does not know
        return os.get_terminal_size(stream.fileno()).columns or _USUAL_WIDTH
    return _USUAL_WIDTH


def _column(at: int, headings: Sequence[str], rows: Sequence[Sequence[str]], *, number: bool) -> _Column:
    cells = [row[at] for row in rows]
    full = max(map(len, (headings[at], *cells)))
    # Names and numbers stay in one piece; of the rest, and of headings, each word does.
    words = [word for text in (headings[at], *cells) for word in text.split()]
    whole = cells if number or not at else []
    return _Column(at, headings[at], number, max(map(len, (*whole, *words)), default=1), full)


def _parts(columns: Sequence[_Column], width: int) -> list[list[_Column]]:
    """Columns that fit side by side, each part with the names in front."""
    names, *others = columns
    parts = [[names]]
    for column in others:
        if len(parts[-1]) > 1 and sum(one.least + _GAP for one in (*parts[-1], column)) - _GAP > width:
            parts.append([names])
        parts[-1].append(column)
    return parts


def _table(columns: Sequence[_Column], rows: Sequence[Sequence[str]], width: int) -> Table:
    table = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, header_style="bold")
    for column, size in zip(columns, _widths(columns, width), strict=True):
        table.add_column(
            Text(column.heading), justify="right" if column.number else "left", width=size, overflow="fold"
        )
    for row in rows:
        table.add_row(*(Text(row[column.at]) for column in columns), style=_style(row))
    return table


def _widths(columns: Sequence[_Column], width: int) -> list[int]:
    """What is left over goes to the narrowest of those that have not all they want."""
    found = [column.least for column in columns]
    for _ in range(width - sum(found) - _GAP * (len(found) - 1)):
        wanting = [at for at, column in enumerate(columns) if found[at] < column.full]
        if not wanting:
            break
        found[min(wanting, key=found.__getitem__)] += 1
    return found


def _style(row: Sequence[str]) -> str:
    if row[0].endswith(FASTEST):
        return "bold green"
    verdicts = {cell.partition(" (")[0] for cell in row}
    return next((style for verdict, style in _STYLES.items() if verdict in verdicts), "")
