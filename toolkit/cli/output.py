"""What a verb says: for people on a terminal, for programs as one JSON document, errors in one line with a hint."""

import json
import math
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TextIO

from toolkit.errors import ExitCode, ToolkitError

SCHEMA = 1


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
    """

    json: bool = False
    quiet: bool = False
    verbose: bool = False
    command: str = ""
    _stdout: TextIO = field(default_factory=lambda: sys.stdout)

    @contextmanager
    def only_documents_on_stdout(self) -> Iterator[None]:
        """What a model prints while it runs goes to stderr: stdout is for answers."""
        self._stdout, sys.stdout = sys.stdout, sys.stderr
        try:
            yield
        finally:
            sys.stdout = self._stdout

    def line(self, text: str = "") -> None:
        """A line of the answer."""
        self._stdout.write(text + "\n")

    def table(self, headings: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> None:
        """Aligned columns; those in `right` are numbers."""
        widths = [max(len(row[at]) for row in (headings, *rows)) for at in range(len(headings))]
        for row in (headings, *rows):
            cells = (
                text.rjust(width) if at in right else text.ljust(width)
                for at, (text, width) in enumerate(zip(row, widths, strict=True))
            )
            self.line("  ".join(cells).rstrip())

    def show(self, answer: Answer) -> int:
        """Write a verb's answer; gives the exit code."""
        if self.json:
            self._document(answer.result, answer.error)
        else:
            answer.show(self)
            if answer.error:
                self._complain(answer.error)
        return answer.error.exit_code if answer.error else ExitCode.DONE

    def fail(self, error: ToolkitError) -> int:
        """Write an error; gives the exit code."""
        if self.json:
            self._document(None, error)
        else:
            self._complain(error)
        return error.exit_code

    def fail_unexpected(self, error: Exception) -> int:
        """Write a bug: its traceback with -v, else one line."""
        if self.verbose:
            traceback.print_exception(error)
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{last.filename}:{last.lineno}"
        return self.fail(
            _UnexpectedError(f"{type(error).__name__}: {error} ({place})", hint="this is a bug of tfx-export; -v shows more")
        )

    def _document(self, result: Any, error: ToolkitError | None) -> None:
        code = error.exit_code if error else ExitCode.DONE
        document = {
            "schema": SCHEMA,
            "command": self.command,
            "status": "error" if error else "ok",
            "exit_code": int(code),
            "result": result,
            "error": {"type": type(error).__name__.lstrip("_"), "message": error.message, "hint": error.hint}
            if error
            else None,
        }
        self.line(json.dumps(plain(document), allow_nan=False, ensure_ascii=False))

    @staticmethod
    def _complain(error: ToolkitError) -> None:
        sys.stderr.write(f"error: {error.message}\n")
        if error.hint:
            sys.stderr.write(f"hint: {error.hint}\n")


class _UnexpectedError(ToolkitError):
    exit_code = ExitCode.UNEXPECTED


def plain(value: Any) -> Any:
    """The value as JSON can hold it: arrays as lists, bytes as text or {"b64": ...}, NaN and infinities as strings."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        return _text(value)
    if isinstance(value, float) and not math.isfinite(value):
        return {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN")
    if isinstance(value, complex):
        return [plain(value.real), plain(value.imag)]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    return value


def _text(value: bytes) -> Any:
    import base64

    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(value).decode()}
