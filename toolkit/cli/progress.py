"""Shows what a long command is doing: a bar on a terminal, plain lines elsewhere, on stderr."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from toolkit.cli.output import Output

if TYPE_CHECKING:
    from toolkit.building.several import Step


class Steps:
    """Progress over the steps of several things, one after another."""

    def __init__(self, output: Output) -> None:
        self._silent = output.quiet
        # What TensorFlow writes with -v would run through a live bar.
        self._on_terminal = sys.stderr.isatty() and not output.verbose
        self._bar: Any = None
        self._started = time.monotonic()

    def report(self, step: "Step") -> None:
        """A new step begins."""
        if self._bar is not None:
            text = f"{step.model}: {step.what}"
            self._bar.update(self._task, description=text, completed=step.at, total=step.of)
        elif not self._silent:
            sys.stderr.write(f"[{time.monotonic() - self._started:5.1f} s] {step.model}: {step.what}\n")

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Something else is written meanwhile."""
        if self._bar is not None:
            self._bar.stop()
        yield
        if self._bar is not None:
            self._bar.start()

    def __enter__(self) -> Self:
        if self._on_terminal and not self._silent:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

            columns = (BarColumn(24), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._bar.start()
            self._task = self._bar.add_task("starting", total=None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
