"""What a verb says: for people on a terminal, for programs as one JSON document, errors in one line with a hint."""

import json
import math
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TextIO

from toolkit.errors import ExitCode, ToolkitError

SCHEMA = 1


class Guard(Protocol):
    """What gives the stream of answers and keeps all else off it."""

    def __call__(self, *, verbose: bool) -> TextIO:
        """The stream."""


@dataclass(frozen=True)
class Answer:
    """A verb's result, how to show it to a person, and what is wrong with it if anything is."""

    result: Any
    show: Callable[["Output"], None]
    error: ToolkitError | None = None


@dataclass
class Output:
    """Where a verb's answer and progress go.

    Args:
        json: one document on stdout and nothing else there.
        command: the verb, named in the document.
        guard: called before a verb runs, with `verbose`; gives the stream of answers and keeps all else off it.
        exit_code: what the process says to the shell, as far as it is known.
    """

    json: bool = False
    quiet: bool = False
    verbose: bool = False
    command: str = ""
    guard: Guard | None = None
    exit_code: int = ExitCode.DONE
    _stdout: TextIO = field(default_factory=lambda: sys.stdout)

    @contextmanager
    def only_documents_on_stdout(self) -> Iterator[None]:
        """What a model prints while it runs goes to stderr: stdout is for answers."""
        before = sys.stdout
        self._stdout = self.guard(verbose=self.verbose) if self.guard else before
        sys.stdout = sys.stderr
        try:
            yield
        finally:
            sys.stdout = before

    def line(self, text: str = "") -> None:
        """A line of the answer."""
        self._stdout.write(text + "\n")

    def json_line(self, value: Any) -> None:
        """A value as one line of JSON, escaped where the stream cannot hold it."""
        encoding = (getattr(self._stdout, "encoding", None) or "utf-8").lower()
        self.line(json.dumps(plain(value), allow_nan=False, ensure_ascii=not encoding.startswith("utf")))

    def flush(self) -> None:
        """Hands over what was said; a reader who went away shows here and not when the process ends."""
        self._stdout.flush()

    def abandon(self) -> None:
        """Lets what is still unsaid go nowhere: flushing it when the process ends would fail again."""
        with open(os.devnull, "w") as nowhere:  # noqa: PTH123  # a stream, not a place
            os.dup2(nowhere.fileno(), self._stdout.fileno())

    def table(self, headings: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> None:
        """Aligned columns; those in `right` are numbers. A terminal gets them coloured and within its width."""
        if self._stdout.isatty():
            from toolkit.cli.terminal import draw  # late: who has no terminal needs no Rich

            draw(self._stdout, headings, rows, right)
            return
        widths = [max(len(row[at]) for row in (headings, *rows)) for at in range(len(headings))]
        for row in (headings, *rows):
            cells = (
                text.rjust(width) if at in right else text.ljust(width)
                for at, (text, width) in enumerate(zip(row, widths, strict=True))
            )
            self.line("  ".join(cells).rstrip())

    def show(self, answer: Answer) -> int:
        """Write a verb's answer; gives the exit code."""
        self.exit_code = answer.error.exit_code if answer.error else ExitCode.DONE
        if self.json:
            self._document(answer.result, answer.error)
        else:
            answer.show(self)
            if answer.error:
                self.complain(answer.error)
        return self.exit_code

    def fail(self, error: ToolkitError) -> int:
        """Write an error; gives the exit code."""
        self.exit_code = error.exit_code
        if self.json:
            self._document(None, error)
        else:
            self.complain(error)
        return self.exit_code

    def _document(self, result: Any, error: ToolkitError | None) -> None:
        found = None
        if error:
            self._trace(error)
            found = {"type": type(error).__name__.lstrip("_"), "message": _one_line(error.message), "hint": error.hint}
        document = {
            "schema": SCHEMA,
            "command": self.command,
            "status": "error" if error else "ok",
            "exit_code": int(self.exit_code),
            "result": result,
            "error": found,
        }
        self.json_line(document)

    def complain(self, error: ToolkitError) -> None:
        """Write an error for people, after what was said so far."""
        self._stdout.flush()
        self._trace(error)
        sys.stderr.write(f"error: {_one_line(error.message)}\n")
        if error.hint:
            sys.stderr.write(f"hint: {error.hint}\n")

    def _trace(self, error: ToolkitError) -> None:
        if self.verbose and error.__cause__:
            traceback.print_exception(error.__cause__)


def _one_line(text: str) -> str:
    # What a library said may have come along with all its lines.
    return " ".join(line.strip() for line in text.splitlines())


class _UnexpectedError(ToolkitError):
    exit_code = ExitCode.UNEXPECTED


def unexpected(error: BaseException) -> ToolkitError:
    """A bug, in one line; what raised it is its cause."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    text = f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}{place}"
    bug = _UnexpectedError(text, hint="this is a bug of tfx-export; -v shows more")
    bug.__cause__ = error
    return bug


def readable_path(path: Path | str) -> str:
    """As one would type it here: below the current folder without that."""
    path = Path(path)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def readable_bytes(size: int) -> str:
    """1234567 as '1.23 MB'."""
    for limit, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size >= limit:
            return f"{size / limit:.2f} {unit}"
    return f"{size} B"


def plain(value: Any) -> Any:
    """The value as JSON can hold it: arrays as lists, bytes as text or {"b64": ...}, NaN and infinities as strings."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        return _text(value)
    if isinstance(value, float | complex):
        return _number(value)
    return plain(_listed(value)) if hasattr(value, "tolist") else value


def _listed(array: Any) -> Any:
    if array.dtype.kind == "V":  # bfloat16, which NumPy cannot write
        array = array.astype("float32")
    # A float below 64 bits in its own shortest form: 0.1 and not 0.10000000149011612.
    short = array.dtype.kind == "f" and array.dtype.itemsize < 8
    return array.astype(str).astype(float).tolist() if short else array.tolist()


def _number(value: float | complex) -> Any:
    if isinstance(value, complex):
        return [_number(value.real), _number(value.imag)]
    return value if math.isfinite(value) else {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN")


def _text(value: bytes) -> Any:
    import base64

    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(value).decode()}
