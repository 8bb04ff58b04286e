"""On a terminal a table keeps within the width, shows what won and what does not count, and loses nothing."""

import fcntl
import os
import pty
import re
import struct
import termios
from collections.abc import Sequence

import pytest

from tests.end_to_end.test_terminal import read_all
from tests.measure.reports import MS, measurement, report
from toolkit.cli.output import Output
from toolkit.cli.reports import show_tables
from toolkit.measure.report import Report
from toolkit.measure.table import tables_of

NARROW, USUAL, WIDE = 40, 80, 200


@pytest.fixture(autouse=True)
def coloured(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("COLUMNS", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")


@pytest.fixture
def found() -> Report:
    rows = (measurement(path, at * MS) for at, path in ((4, "eager"), (2, "graph"), (3, "graph-frozen")))
    return report([*rows, measurement("xla", 3 * MS, calls=30)])


def shown(width: int, headings: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """What a terminal of a width sees of a table, with its colours."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    with os.fdopen(theirs, "w") as terminal:
        Output(_stdout=terminal).table(headings, rows, right)
    text = read_all(ours)
    os.close(ours)
    return text.replace("\r", "")


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def speeds(found: Report, width: int) -> str:
    table = tables_of(found)[0]
    return shown(width, table.headings, table.rows, table.right)


@pytest.mark.parametrize("width", [NARROW, USUAL, WIDE])
def test_every_line_fits_and_every_cell_is_whole(found: Report, width: int) -> None:
    text = plain(speeds(found, width))
    assert max(map(len, text.splitlines())) <= width
    table = tables_of(found)[0]
    assert [cell for row in table.rows for cell in row if cell not in text] == []


def test_a_wide_terminal_sees_one_line_a_path(found: Report) -> None:
    lines = plain(speeds(found, WIDE)).splitlines()
    assert [line.split()[0] for line in lines] == ["path", "eager", "graph", "graph-frozen", "xla"]


def test_a_narrow_one_sees_each_part_with_the_names_in_front(found: Report) -> None:
    parts = plain(speeds(found, USUAL)).strip().split("\n\n")
    assert len(parts) == 2
    for part in parts:
        assert re.findall(r"^(?:eager|graph \*|graph-frozen|xla)", part, re.MULTILINE) == [
            *("eager", "graph *", "graph-frozen", "xla")
        ]


def test_the_fastest_path_and_what_does_not_count_stand_out(found: Report) -> None:
    lines = speeds(found, WIDE).splitlines()[1:]
    begins = {plain(line).split()[0]: line[:6] for line in lines}
    assert begins["graph"].startswith("\x1b[1;32")
    assert begins["xla"].startswith("\x1b[33m")
    assert begins["graph-frozen"] == "graph-"


def test_text_wraps_between_words(found: Report) -> None:
    reason = "one reason after the other, " * 6
    text = plain(shown(USUAL, ("what", "reason"), [("a name", reason)]))
    lines = text.splitlines()[1:]
    assert len(lines) == 3
    assert [line[:8] for line in lines] == ["a name  ", " " * 8, " " * 8]
    assert " ".join(" ".join(line[8:] for line in lines).split()) == reason.strip()


def test_brackets_are_no_markup_and_a_reason_may_name_a_verdict() -> None:
    text = shown(
        USUAL, ("what", "found"), [("[bold]x", "INVALID input, as asked for"), ("y", "not measured (stopped)")]
    )
    assert "[bold]x" in text
    assert "\x1b[33m" not in text
    assert "\x1b[2my" in text


def test_the_width_may_be_told_and_colours_left_out(found: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(WIDE))
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[3" not in speeds(found, NARROW)
    assert len(speeds(found, NARROW).splitlines()) == len(found.measurements) + 1


def test_a_pipe_sees_plain_text(found: Report, capsys: pytest.CaptureFixture[str]) -> None:
    show_tables(Output(), tables_of(found))
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == (
        "path              p50      p90              p99             p99.9  rows/s  times eager (99 %)  break-even  "
        "cold start  memory  verdict"
    )
    assert lines[3].startswith("graph *       2.00 ms")
    assert "\x1b" not in "".join(lines)
