"""One feed at a constant rate from this process: latencies for who wants to know them in passing, as a gate does."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from toolkit.core.tensors import Feed
from toolkit.errors import UnavailableError
from toolkit.measure.load import outcomes
from toolkit.measure.load.arrivals import Bounds, arrivals
from toolkit.measure.load.jobs import Job, choose
from toolkit.measure.load.records import Records
from toolkit.measure.load.sending import open_sender
from toolkit.measure.load.tape import Tape
from toolkit.measure.load.traffic import Traffic
from toolkit.measure.load.worker import Turn
from toolkit.measure.sampling import SECOND_NS
from toolkit.runtimes.served import TIMEOUT_S
from toolkit.wire.endpoints import Remote

Decided = Callable[[float], bool]


def steady_load(remote: Remote, feed: Feed, rate: float, count: int, decided: Decided = lambda s: False) -> Records:
    """So many requests at a rate, none of which waits for the answer to another.

    Args:
        remote: whom to ask.
        feed: what.
        rate: requests a second.
        count: requests.
        decided: gets each latency in seconds as it comes, and ends the load by saying so.

    Raises:
        UnavailableError: a request had no good answer; in the server's words.
    """
    due = arrivals("constant", rate, Bounds(count / rate, count), 0)
    with tempfile.TemporaryDirectory(prefix="tfx-export-load-") as own:
        route = Traffic(remote.target.model, remote, (feed,)).route
        job = Job((route,), choose([1.0], [1], count, 0), Path(own) / "tape", count, count / rate, due)
        turn = _Ending(job, Tape(job.tape, job.room), decided)
        sender = open_sender(remote.endpoint, 1, TIMEOUT_S, turn)
        start_ns = time.perf_counter_ns()
        try:
            turn.run([sender], start_ns)
        finally:
            sender.close()
        if turn.words:
            outcome, text = next(iter(turn.words.items()))
            raise UnavailableError(
                f"{remote.endpoint.address} did not answer: {outcomes.name_of(outcome)}: {text}",
                hint="is the server up, and does `tfx-export predict` get an answer?",
            )
        return Records(turn.tape.columns(), start_ns, start_ns + int(count / rate * SECOND_NS) + 1)


class _Ending(Turn):
    """A turn that ends when enough is known."""

    def __init__(self, job: Job, tape: Tape, decided: Decided) -> None:
        super().__init__(job, tape)
        self.tape, self._decided = tape, decided

    def finished(self, number: int, outcome: int, told: Any, content: bytes | str) -> None:
        """Looks at what a request took."""
        super().finished(number, outcome, told, content)
        if self._decided((time.perf_counter_ns() - self._due[number]) / SECOND_NS):
            self.tape.stop()
