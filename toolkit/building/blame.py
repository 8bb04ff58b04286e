"""Turns what a user's code raised into one line that says what happened and the place in that code."""

import re
import sysconfig
import traceback
from pathlib import Path

_LENGTH = 400
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
# Frames of Python, of installed packages and of this one are not a user's.
_LIBRARIES = tuple(
    {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    | {str(Path(__file__).resolve().parents[1])}
)
_MARKS = ("site-packages", "dist-packages", "__autograph")


def first_line(error: BaseException | str) -> str:
    """The line of an error's text that says what happened; autograph and Keras put others before it."""
    lines = [line.strip() for line in _ANSI.sub("", str(error)).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    if lines[0].startswith("in user code"):
        named = (at for at, line in enumerate(lines) if re.match(r"\w*(Error|Exception)\b.*:", line))
        lines = lines[next(named, -1) :]
    if len(lines) > 1 and (lines[0].endswith(":") or "Exception encountered when calling" in lines[0]):
        lines = [f"{lines[0].rstrip('.:')}: {lines[1]}"]
    return lines[0] if len(lines[0]) <= _LENGTH else f"{lines[0][:_LENGTH]}..."


def own_frame(error: BaseException) -> str:
    """file:line of the innermost frame of a user's own code; where none is, what shows the others."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if _is_own(frame.filename)]
    if own:
        return f"{own[-1].filename}:{own[-1].lineno}"
    # Autograph and Keras filter tracebacks; they put the user's frame into the text instead.
    places = re.findall(r'File "([^"]+)", line (\d+)', str(error))
    mine = [place for place in places if _is_own(place[0])]
    return ":".join(mine[-1]) if mine else "the traceback with -v"


def _is_own(filename: str) -> bool:
    return not filename.startswith((*_LIBRARIES, "<")) and not any(mark in filename for mark in _MARKS)
