"""What a load worker's process does: keeps to its schedule, and writes down when each request was sent and over.

It holds bytes that are ready to send and reads nothing of an answer but its status, so that the client is not the
limit; it loads no TensorFlow.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from toolkit.measure.load import outcomes
from toolkit.measure.load.jobs import Job
from toolkit.measure.load.pacing import Clock, Pacer, sharpen_timers, take_precedence
from toolkit.measure.load.sending import Sender, client_of, open_sender
from toolkit.measure.load.tape import BEGUN, LOST, SCHEDULED, Tape
from toolkit.measure.phases import told_ns
from toolkit.measure.sampling import SECOND_NS, collector_off
from toolkit.serving.timing import PHASES
from toolkit.wire.messages import Endpoint

_POLL_S = 0.002
_FULL_S = 0.0002
_GRACE_S = 0.5
# Callers that get nothing but errors would ask as fast as they can.
_HOPELESS = 2000


@dataclass(frozen=True)
class Shift:
    """What a worker says after its part.

    Args:
        cpu_s: processor time that it took.
        elapsed_s: from the first moment to the last answer.
        words: what was first said with each kind of error, by outcome.
        answers: the last answer to each payload, by stream and payload.
        clients: by what it sent, each once.
    """

    cpu_s: float
    elapsed_s: float
    words: Mapping[int, str] = field(default_factory=dict)
    answers: Mapping[tuple[int, int], bytes] = field(default_factory=dict)
    clients: tuple[str, ...] = ()


class Turn:
    """One part of a load, while it is sent. Clock and sleep are given, so tests need no time."""

    def __init__(
        self,
        job: Job,
        tape: Tape,
        clock: Clock = time.perf_counter_ns,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._job, self._tape, self._clock, self._sleep = job, tape, clock, sleep
        self._due, self._sent, self._done, self._outcome, self._stream, self._payload, *phases = (
            tape.column(name) for name in ("due", "sent", "done", "outcome", "stream", "payload", *PHASES)
        )
        self._phases = tuple(zip(PHASES, phases, strict=True))
        self._streams, self._payloads = job.choices.stream.tolist(), job.choices.payload.tolist()
        self._senders: list[Sender] = []
        self._begun = 0
        self._number, self._counting = 0, threading.Lock()
        self._end_ns, self._failed = 0, 0
        self.words: dict[int, str] = {}
        self.answers: dict[tuple[int, int], bytes] = {}

    def run(self, senders: list[Sender], start_ns: int) -> None:
        """Sends everything, then waits for what is in flight.

        Args:
            senders: one a route.
            start_ns: the first moment, by this process's clock.
        """
        self._senders = senders
        self._tape.head[BEGUN] = start_ns
        if self._job.due_ns is not None:
            self._keep_schedule(start_ns)
        else:
            self._keep_callers(start_ns)
        self._drain()

    def sending(self, number: int) -> None:
        """A request leaves now."""
        self._sent[number] = self._clock()

    def finished(self, number: int, outcome: int, told: Any, content: bytes | str) -> None:
        """A request is over."""
        self._done[number] = now = self._clock()
        self._outcome[number] = outcome
        stream, payload = self._stream[number], self._payload[number]
        if outcome == outcomes.WELL:
            self._failed = 0
            assert isinstance(content, bytes), "an answer has a body"
            self.answers[stream, payload] = content
            if told:
                found = told_ns(told)
                for name, column in self._phases:
                    column[number] = found.get(name, 0)
        else:
            self._failed += 1
            self.words.setdefault(outcome, str(content))
        if self._job.due_ns is None and now < self._end_ns and self._failed < _HOPELESS:
            self._next(now)

    def _keep_schedule(self, start_ns: int) -> None:
        assert self._job.due_ns is not None, "there is a schedule"
        moments = (self._job.due_ns + start_ns).tolist()
        self._tape.array("due")[: len(moments)] = moments
        pacer = Pacer(lambda: self._tape.stopped, self._clock, self._sleep)
        head, most = self._tape.head, self._job.most_in_flight
        # What a server holds up for as long as an answer may take is not worth asking any more.
        last_ns = moments[-1] + int(self._job.timeout_s * SECOND_NS)
        for number, due_ns in enumerate(moments):
            if not pacer.wait(due_ns):
                return
            head[SCHEDULED] = number + 1
            while self._begun - self._over() >= most and not self._tape.stopped and self._clock() < last_ns:
                self._sleep(_FULL_S)
            if self._clock() < last_ns:
                self._begun += 1
                self._begin(number)

    def _keep_callers(self, start_ns: int) -> None:
        pacer = Pacer(lambda: self._tape.stopped, self._clock, self._sleep)
        self._end_ns = start_ns + int(self._job.seconds * SECOND_NS)
        if not pacer.wait(start_ns):
            return
        for _ in range(self._job.callers):
            self._next(self._clock())
        while self._begun > self._over() and pacer.wait(self._clock() + int(_POLL_S * SECOND_NS)):
            pass
        self._end_ns = 0

    def _next(self, now: int) -> None:
        """A caller asks again, unless all was asked."""
        with self._counting:  # senders answer on threads of their own
            number = self._number
            if number >= self._job.room or self._tape.stopped:
                return
            self._number += 1
            self._due[number] = now
            self._tape.head[SCHEDULED] = number + 1
            self._begun += 1
        self._begin(number)

    def _begin(self, number: int) -> None:
        at = number % len(self._streams)
        stream, payload = self._streams[at], self._payloads[at]
        self._stream[number], self._payload[number] = stream, payload
        route = self._job.routes[stream]
        self._senders[stream].send(number, route.path, route.bodies[payload])

    def _over(self) -> int:
        return sum(sender.finished for sender in dict.fromkeys(self._senders))

    def _drain(self) -> None:
        limit_ns = self._clock() + int((self._job.timeout_s + _GRACE_S) * SECOND_NS)
        while self._begun > self._over() and self._clock() < limit_ns:
            self._sleep(_POLL_S)

    @property
    def whole(self) -> bool:
        """Whether nothing is in flight any more."""
        return self._begun <= self._over()


class _Process:
    """What this process keeps between jobs: its open connections."""

    senders: "dict[tuple[Endpoint, int, float], Sender]" = {}  # noqa: RUF012  # one a process, as the class is
    listener: "_Switch"


class _Switch:
    """Passes on what senders say to the turn that runs."""

    turn: Turn

    def sending(self, number: int) -> None:
        self.turn.sending(number)

    def finished(self, number: int, outcome: int, told: Any, content: bytes | str) -> None:
        self.turn.finished(number, outcome, told, content)


def clock_ns() -> int:
    """This process's clock."""
    return time.perf_counter_ns()


def run(job: Job, start_ns: int) -> Shift:
    """Carry out a job; everything about its requests is on the tape."""
    tape = Tape(job.tape, job.room)
    turn = Turn(job, tape)
    take_precedence(scheduled=job.due_ns is not None)  # before a sender starts threads of its own
    senders = _senders(job, turn)
    lost_before = _lost(senders)
    sharpen_timers()
    with collector_off():
        cpu_s = time.process_time()
        turn.run(senders, start_ns)
        cpu_s = time.process_time() - cpu_s
    tape.head[LOST] = _lost(senders) - lost_before
    if not turn.whole:
        _close(senders)  # what comes back later must not be taken for an answer of the next job
    clients = dict.fromkeys(client_of(route.endpoint.protocol) for route in job.routes)
    return Shift(cpu_s, (time.perf_counter_ns() - start_ns) / SECOND_NS, turn.words, turn.answers, tuple(clients))


def _lost(senders: list[Sender]) -> int:
    return sum(sender.lost for sender in dict.fromkeys(senders))


def _close(senders: list[Sender]) -> None:
    for sender in dict.fromkeys(senders):
        sender.close()
    _Process.senders = {key: found for key, found in _Process.senders.items() if found not in senders}


def _senders(job: Job, turn: Turn) -> list[Sender]:
    if not hasattr(_Process, "listener"):
        _Process.listener = _Switch()
    _Process.listener.turn = turn
    found = []
    for route in job.routes:
        key = (route.endpoint, job.connections, job.timeout_s)
        if key not in _Process.senders:
            _Process.senders[key] = open_sender(*key, _Process.listener)
        found.append(_Process.senders[key])
        found[-1].finished = 0
    return found
