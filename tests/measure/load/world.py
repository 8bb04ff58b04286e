"""A made-up world for load tests: its clock moves only when somebody sleeps, and its server takes known times."""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from toolkit.measure.load import outcomes
from toolkit.measure.load.arrivals import Moments
from toolkit.measure.load.jobs import Job, Route, choose
from toolkit.measure.load.point import Point, Shape
from toolkit.measure.load.records import Records
from toolkit.measure.load.tape import Tape
from toolkit.measure.load.worker import Turn
from toolkit.wire.messages import Endpoint, Protocol

US, MS, S = 1_000, 1_000_000, 1_000_000_000
ROUTE = Route(Endpoint("127.0.0.1:1", Protocol.GRPC), "/predict", (b"one", b"two"))
START = 1000 * S  # a tape's 0 is "not yet"
Service = Callable[[int], int]


@dataclass(eq=False)
class World:
    """One server that answers one request after another, and the clock of everybody.

    Args:
        service: the number of a request to its service time, in ns.
        stops: from when until when the server stands still, in ns since the start.
        send_costs: what the client needs for a send, in ns; it can do nothing else meanwhile.
        outcome: the number of a request to how it ends.
    """

    service: Service
    stops: tuple[int, int] = (0, 0)
    send_costs: int = 0
    outcome: Callable[[int], int] = lambda number: outcomes.WELL
    now: int = START
    finished: int = 0
    lost: int = 0
    _free: int = 0
    _coming: list[tuple[int, int]] = field(default_factory=list)

    def clock(self) -> int:
        return self.now

    def sleep(self, seconds: float) -> None:
        self._pass(max(1, round(seconds * S)))

    def send(self, number: int, path: str, body: bytes) -> None:
        self.turn.sending(number)
        stops, goes = (START + at for at in self.stops)
        begins = max(self.now, self._free)
        if stops <= begins < goes:
            begins = goes
        self._free = begins + self.service(number)
        if begins < stops < self._free:
            self._free += goes - stops
        heapq.heappush(self._coming, (self._free, number))
        if self.send_costs:
            self._pass(self.send_costs)

    def close(self) -> None:
        """Nothing to close."""

    def _pass(self, span: int) -> None:
        until = self.now + span
        while self._coming and self._coming[0][0] <= until:
            self.now, number = heapq.heappop(self._coming)
            self.turn.finished(number, self.outcome(number), None, b"answer")
            self.finished += 1
        self.now = max(self.now, until)

    def play(
        self, directory: Path, due: Moments | None, *, callers: int = 0, seconds: float = 0.0, most: int = 4096
    ) -> Records:
        """Runs a schedule, or callers, to their end."""
        count = len(due) if due is not None else round(seconds * 20_000)
        choices = choose([1.0], [2], count, 1)
        job = Job((ROUTE,), choices, directory / "tape", count, seconds, due, callers, most_in_flight=most)
        self.tape = Tape(job.tape, job.room)
        self.turn = Turn(job, self.tape, self.clock, self.sleep)
        self.turn.run([self], START)
        columns = self.tape.columns()
        for name in ("due", "sent", "done"):
            columns[name] = np.where(columns[name] > 0, columns[name] - START, -1)
        return Records(columns, 0, int(due[-1]) + 1 if due is not None else round(seconds * S))


def point(latencies_ns: Sequence[int], *, rate: float = 1000.0, late_ns: int = 0, cpu: float = 0.1) -> Point:
    """A load at a constant rate whose requests took so long from when they were sent."""
    return Point(
        Shape("mlp", "grpc", 1, "constant", rate),
        ("mlp",),
        records(latencies_ns, rate=rate, late_ns=late_ns),
        (cpu,),
        codec_s={"client encode": 1e-5, "client decode": 2e-5},
    )


def records(latencies_ns: Sequence[int], *, rate: float = 1000.0, late_ns: int = 0) -> Records:
    """The records behind it."""
    count = len(latencies_ns)
    due = (np.arange(count) * (S / rate)).astype(np.int64)
    none = np.zeros(count, dtype=np.int64)
    columns = dict.fromkeys(("stream", "payload", "queue", "parse", "compute", "encode"), none)
    sent = due + late_ns
    done = sent + np.asarray(latencies_ns, dtype=np.int64)
    return Records(
        {"due": due, "sent": sent, "done": done, "outcome": none + outcomes.WELL, **columns}, 0, int(due[-1] + S / rate)
    )
