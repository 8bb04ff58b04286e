"""Shows what a long command is doing: one live line on a terminal, plain lines elsewhere, on stderr."""

import sys
import time
from types import TracebackType
from typing import Any, Self

from toolkit.cli.output import Output


class Steps:
    """Progress over named steps of several things, one after another."""

    def __init__(self, output: Output) -> None:
        self._silent = output.quiet
        self._live: Any = None
        self._started = time.monotonic()
        self._terminal = sys.stderr.isatty()

    def report(self, what: str, step: str) -> None:
        """A new step begins."""
        if self._silent:
            return
        if self._live is not None:
            self._live.update(self._task, description=f"{what}: {step}", advance=1)
        else:
            sys.stderr.write(f"[{time.monotonic() - self._started:5.1f} s] {what}: {step}\n")

    def __enter__(self) -> Self:
        if self._terminal and not self._silent:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

            columns = (
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(pulse_style="cyan"),
                TimeElapsedColumn(),
            )
            self._live = Progress(*columns, console=Console(stderr=True), transient=True)
            self._live.start()
            self._task = self._live.add_task("starting", total=None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
