"""Shows what a long command is doing: a bar on a terminal, plain lines elsewhere, on stderr."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from toolkit.cli.output import Output

if TYPE_CHECKING:
    from toolkit.building.several import Step


class Progressing:
    """A context manager: on a terminal a bar, elsewhere whatever lines its heirs write, and nothing with --quiet."""

    width = 24

    def __init__(self, output: Output) -> None:
        self._silent = output.quiet
        # What TensorFlow writes with -v would run through a live bar.
        self._on_terminal = sys.stderr.isatty() and not output.verbose
        self._bar: Any = None
        self._started = time.monotonic()

    def advance(self, text: str, done: float, total: float | None) -> bool:
        """Moves the bar; False where there is none."""
        if self._bar is None:
            return False
        self._bar.update(self._task, description=text, completed=done, total=total)
        return True

    def write(self, line: str) -> None:
        """A line where there is no bar."""
        if not self._silent:
            sys.stderr.write(f"{line}\n")

    @property
    def elapsed(self) -> str:
        """The time so far, as lines begin."""
        return f"[{time.monotonic() - self._started:5.1f} s]"

    def columns(self) -> Sequence[Any]:
        """What stands between the bar and its text."""
        from rich.progress import TimeElapsedColumn  # late: who has no terminal needs none

        return (TimeElapsedColumn(),)

    def __enter__(self) -> Self:
        if self._on_terminal and not self._silent:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn

            columns = (BarColumn(self.width), *self.columns(), TextColumn("{task.description}", markup=False))
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._bar.start()
            self._task = self._bar.add_task("starting", total=None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()


class Steps(Progressing):
    """Progress over the steps of several things, one after another."""

    def report(self, step: "Step") -> None:
        """A new step begins."""
        text = f"{step.model}: {step.what}"
        if not self.advance(text, step.at, step.of):
            self.write(f"{self.elapsed} {text}")

    def columns(self) -> Sequence[Any]:
        """How many steps of how many, too."""
        from rich.progress import MofNCompleteColumn

        return (MofNCompleteColumn(), *super().columns())

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Something else is written meanwhile."""
        if self._bar is not None:
            self._bar.stop()
        yield
        if self._bar is not None:
            self._bar.start()
