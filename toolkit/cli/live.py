"""Shows a load while it runs: on a terminal a bar with rate, latency, errors and queue; elsewhere a line a run."""

import sys
from typing import TYPE_CHECKING, Any, Self

from toolkit.cli.output import Output

if TYPE_CHECKING:
    from toolkit.measure.load.crew import Glance


class LiveLoad:
    """A context manager whose methods the load tells what it does."""

    def __init__(self, output: Output) -> None:
        self._silent = output.quiet
        self._on_terminal = sys.stderr.isatty() and not output.verbose
        self._bar: Any = None
        self._last = ""

    def say(self, text: str) -> None:
        """Something other than a run happens."""
        if self._bar is not None:
            self._bar.console.print(text, highlight=False, markup=False)
        elif not self._silent:
            sys.stderr.write(f"{text}\n")

    def watch(self, name: str, glance: "Glance") -> None:
        """How a run looks just now."""
        if self._bar is not None:
            self._bar.update(
                self._task, description=described(name, glance), completed=glance.elapsed_s, total=glance.seconds
            )
        elif not self._silent and name != self._last:
            self._last = name
            sys.stderr.write(f"{name}, {glance.seconds:.0f} s\n")

    def __enter__(self) -> Self:
        if self._on_terminal and not self._silent:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

            columns = (BarColumn(12), TimeElapsedColumn(), TextColumn("{task.description}", markup=False))
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._bar.start()
            self._task = self._bar.add_task("starting", total=None)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()


def described(name: str, glance: "Glance") -> str:
    """`199/s, p50 0.9 ms, p99 2.1 ms, 0 errors, 1 in flight: mlp over grpc`; a narrow terminal cuts the end."""
    times = f"p50 {glance.p50_s * 1e3:.1f} ms, p99 {glance.p99_s * 1e3:.1f} ms"
    errors = f"{glance.errors} error{'s' * (glance.errors != 1)}"
    return f"{glance.rate:.0f}/s, {times}, {errors}, {glance.in_flight} in flight: {name}"
