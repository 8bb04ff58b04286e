"""Shows a load while it runs: on a terminal a bar with rate, latency, errors and queue; elsewhere a line a run."""

from typing import TYPE_CHECKING

from toolkit.cli.output import Output
from toolkit.cli.progress import Progressing

if TYPE_CHECKING:
    from toolkit.measure.load.crew import Glance


class LiveLoad(Progressing):
    """A context manager whose methods the load tells what it does."""

    width = 12

    def __init__(self, output: Output) -> None:
        super().__init__(output)
        self._last = ""

    def say(self, text: str) -> None:
        """Something other than a run happens."""
        if self._bar is not None:
            self._bar.console.print(text, highlight=False, markup=False)
        else:
            self.write(text)

    def watch(self, name: str, glance: "Glance") -> None:
        """How a run looks just now."""
        if not self.advance(described(name, glance), glance.elapsed_s, glance.seconds) and name != self._last:
            self._last = name
            self.write(f"{name}, {glance.seconds:.0f} s")


def described(name: str, glance: "Glance") -> str:
    """`199/s, p50 0.9 ms, p99 2.1 ms, 0 errors, 1 in flight: mlp over grpc`; a narrow terminal cuts the end."""
    times = f"p50 {glance.p50_s * 1e3:.1f} ms, p99 {glance.p99_s * 1e3:.1f} ms"
    errors = f"{glance.errors} error{'s' * (glance.errors != 1)}"
    return f"{glance.rate:.0f}/s, {times}, {errors}, {glance.in_flight} in flight: {name}"
