"""gRPC one level below grpcio's servicer API: Predict is answered on the thread that polls, a long one on the pool.

The servicer API hands every call from the polling thread to a pool and back, which costs several times what a small
model does. Here the polling thread itself reads and answers a Predict whose kind was short before. Everything else
(other methods, streams, health, reflection, TLS) goes through grpcio's own code. It leans on parts of grpcio that are
not public, so transports.py asks `self_check` before it takes this one.
"""

import logging
import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from grpc import _server as grpcio
from grpc._cython import cygrpc

from toolkit.serving.eager_polling import EagerPolling
from toolkit.serving.lanes import Lane
from toolkit.serving.paces import Pace, Paces
from toolkit.serving.rpc_calls import RETRY_HINT, Asked, RpcAnswer
from toolkit.serving.rpc_server import RpcServer
from toolkit.serving.short_calls import Short, ShortCalls
from toolkit.serving.timing import Timing
from toolkit.wire import rpc, wording
from toolkit.wire.codes import Code

log = logging.getLogger(__name__)
# Calls that the core may hand over without being asked again; a burst needs no round trip for each.
_ASKED_AHEAD, _ASKED_AT_LEAST = 32, 16
# So many events are taken in before calls are answered: callers past the bound hear so at once, and those before it are
# not kept waiting by them for ever.
_TAKEN_TOGETHER = 256
_STARTED = grpcio._ServerStage.STARTED
_AT_ONCE = 0.0
_CORES = os.cpu_count() or 1
_NO_FLAGS = 0
_NOTHING_SENT = rpc.RpcStatus(Code.UNIMPLEMENTED, f'"{rpc.PREDICT}" requires exactly one request message.')


@dataclass(eq=False, slots=True)
class _Call:
    """One Predict from its headers to its end; as the tag of an operation, it awaits its message.

    Args:
        deadline_ns: when the caller stops waiting, by time.perf_counter_ns.
        asked: what it asks for, where that is of a usual form.
        pace: how long such calls take.
        pooled: what a call needs that goes to the pool.
    """

    core: Any
    arrived_ns: int
    deadline_ns: int | None
    body: bytes = b""
    asked: Asked | None = None
    pace: Pace | None = None
    pooled: "_Pooled | None" = None


@dataclass(slots=True)
class _Pooled:
    """How far a call on the pool has come.

    Args:
        due: what the core has still to report of it; at 0 it is over.
        over: whether its caller has its answer, or has gone.
    """

    due: int = 1
    over: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(slots=True)
class _Step:
    """What to do when the core reports: the tag of an operation."""

    go: Callable[[_Call], None]
    call: _Call


class _Arrival:
    """The tag of a Predict's headers."""


class _Answered:
    """The tag of an answer that is the end of its call."""


@dataclass
class FastRpcServer(RpcServer):
    """A Transport over grpcio's completion queue."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._state = self._server._state
        self._state.server.register_method(rpc.PREDICT)
        self._limit = self.capacity.threads + self.capacity.max_queue
        self._paces = Paces()
        self._short = ShortCalls(self._answer_short)
        self._asked = 0  # calls that the core may still hand over
        self._open = 0  # calls that it has still to report of
        self._unread = 0  # those among them whose message is awaited
        self._arrival, self._answered = _Arrival(), _Answered()
        self._headers = cygrpc.SendInitialMetadataOperation((), _NO_FLAGS)

    def start(self) -> None:
        """Answers from now on."""
        state = self._state
        with state.lock:
            state.server.start()
            state.stage = grpcio._ServerStage.STARTED
            # Keeps grpcio from ending the core while it still reports of our calls.
            state.due.add(self._arrival)
            for method in state.registered_method_handlers:
                # Health and reflection come as methods that the core knows by name.
                grpcio._request_registered_call(state, method)
            grpcio._request_call(state)
        self._ask()
        threading.Thread(target=self._poll, name="rpc-poll", daemon=True).start()

    def _ask(self) -> None:
        """Lets the core hand over further calls."""
        state = self._state
        queue, server = state.completion_queue, state.server
        while self._asked < _ASKED_AHEAD and state.stage is _STARTED:
            server.request_registered_call(queue, queue, rpc.PREDICT, self._arrival)
            self._asked += 1

    def _poll(self) -> None:
        ended, taken, short, nothing = False, 0, self._short, cygrpc.CompletionType.queue_timeout
        poll = self._state.completion_queue.poll
        eager = EagerPolling(poll, nothing)
        while not ended:
            # With calls to answer, only what is there already is taken in before. Where calls are worked on elsewhere,
            # to stay awake would take a core from them.
            event = poll(_AT_ONCE) if short else poll() if self._open else eager.wait()
            try:
                if event.completion_type != nothing:
                    ended = self._take(event)
                    taken += 1
                    # Where no other call is open, none can come in time.
                    if taken < _TAKEN_TOGETHER and len(short) < self._open:
                        continue
                taken = 0
                short.answer_some()
            except Exception:  # one call must not end the server
                log.exception("a gRPC call was lost")
            finally:
                # An event that is still held holds its call, and the core would wait for that when it ends.
                event = None

    def _answer_short(self, group: Sequence[Short[_Call]]) -> None:
        """Answers short calls: first all of them, and then their callers."""
        now_ns, calls, asked, paces = time.perf_counter_ns(), [], [], []
        for call, pace in group:
            if call.asked is None or (call.deadline_ns is not None and call.deadline_ns <= now_ns):
                self._finish(call, self._late())
                continue
            calls.append(call)
            asked.append(call.asked)
            paces.append(pace)
        for call, answer in zip(calls, self.calls.answer_together(asked), strict=True):
            self._finish(call, answer)
        for one, pace in zip(asked, paces, strict=True):
            timing = one.timing
            pace.ran(timing.parse_ns + timing.compute_ns + timing.encode_ns)

    def _take(self, event: Any) -> bool:
        """Does what an event asks for; says whether it was the last one."""
        tag = event.tag
        kind = tag.__class__
        if kind is _Call:
            self._received(event.batch_operations[0].message(), tag)
        elif kind is _Answered:
            self._open -= 1
            self._ask()
        elif kind is _Arrival:
            self._asked -= 1
            if event.success:
                self._arrived(event)
        elif kind is _Step:
            tag.go(tag.call)
        else:
            return not grpcio._process_event_and_continue(self._state, event)
        return not self._open and not self._asked and self._end()

    def _end(self) -> bool:
        state = self._state
        with state.lock:
            state.due.discard(self._arrival)
            self._short.stop()
            return bool(grpcio._stop_serving(state))

    def _arrived(self, event: Any) -> None:
        now_ns, deadline_ns = time.perf_counter_ns(), None
        if self._asked < _ASKED_AT_LEAST:
            self._ask()  # else once the answer is sent, when nobody waits for it
        deadline_s = event.call_details.deadline
        if deadline_s != math.inf:
            deadline_ns = now_ns + int((deadline_s - time.time()) * 1e9)
        call = _Call(event.call, now_ns, deadline_ns)
        self._open += 1
        if self._unread + len(self._short) + self._running.held >= self._limit:
            self.calls.metrics.refuse("GRPC", "queue full")
            self._finish(call, RpcAnswer(b"", rpc.status_of(wording.threads_exhausted()), RETRY_HINT))
            return
        self._unread += 1
        call.core.start_server_batch((cygrpc.ReceiveMessageOperation(_NO_FLAGS),), call)

    def _received(self, body: bytes | None, call: _Call) -> None:
        self._unread -= 1
        if body is None:
            self._finish(call, RpcAnswer(b"", _NOTHING_SENT, ()))
            return
        started_ns = time.perf_counter_ns()
        form = self.calls.reader.read(body)
        if form is not None:
            timing = Timing(0, time.perf_counter_ns() - started_ns, 0, 0, "", call.deadline_ns)
            call.asked, call.pace = Asked(form, body, timing, call.arrived_ns), self._paces.of(form.kind)
            if not call.pace.pooled and self.capacity.inline:
                self._short.add(call, call.pace)
                return
        call.body, call.pooled = body, _Pooled()
        call.core.start_server_batch((cygrpc.ReceiveCloseOnServerOperation(_NO_FLAGS),), _Step(self._closed, call))
        if call.pace is not None and call.pace.lane is not None:
            call.pace.lane.add(call)
        else:
            self._running.submit(self._work, (call,))

    def _work(self, calls: Sequence[_Call]) -> None:
        """Answers calls on the pool, those that somebody still waits for."""
        started_ns = time.perf_counter_ns()
        due = [call for call in calls if call.pooled is not None and not call.pooled.over]
        for call, answer in self._answers(due, started_ns):
            pooled = call.pooled
            assert pooled is not None
            with pooled.lock:
                if not pooled.over:
                    pooled.due += 1
                    call.core.start_server_batch(self._operations(answer), _Step(self._reported, call))
        for call in due:
            if call.pace is not None:
                call.pace.ran_pooled((time.perf_counter_ns() - started_ns) // len(due))
                self._assign(call.asked, call.pace)

    def _assign(self, asked: Asked | None, pace: Pace) -> None:
        """Calls whose runtime computes from start to end wait for a core; for the others threads are enough."""
        prepared = None if asked is None else asked.prepared
        if prepared is None or not prepared.computes or not self.capacity.inline:
            pace.lane = None
            return
        if pace.lane is None:
            pace.lane = Lane(self._running, _CORES, self._work)
        pace.lane.joins = prepared.merged is not None

    def _answers(self, calls: Sequence[_Call], now_ns: int) -> Iterator[tuple[_Call, RpcAnswer]]:
        usual: list[_Call] = []
        for call in calls:
            if call.deadline_ns is not None and call.deadline_ns <= now_ns:
                yield call, self._late()
            elif call.asked is not None:
                usual.append(call)
            else:
                timing = Timing(queue_ns=now_ns - call.arrived_ns, deadline_ns=call.deadline_ns)
                yield call, self.calls.answer(rpc.PREDICT, call.body, timing)
        answers = self.calls.answer_together([call.asked for call in usual if call.asked is not None])
        yield from zip(usual, answers, strict=True)

    def _late(self) -> RpcAnswer:
        self.calls.metrics.refuse("GRPC", "deadline passed")
        return RpcAnswer(b"", rpc.status_of(wording.deadline_cannot_be_met(0, 0)), ())

    def _finish(self, call: _Call, answer: RpcAnswer) -> None:
        """Answers a call on the polling thread, and ends it."""
        ending = (*self._operations(answer), cygrpc.ReceiveCloseOnServerOperation(_NO_FLAGS))
        call.core.start_server_batch(ending, self._answered)

    def _operations(self, answer: RpcAnswer) -> tuple[Any, ...]:
        if answer.status is None:
            sent = cygrpc.SendMessageOperation(answer.body, _NO_FLAGS)
            return self._headers, sent, cygrpc.SendStatusFromServerOperation(answer.metadata, 0, b"", _NO_FLAGS)
        code, details = int(answer.status.code), answer.status.details.encode()
        return self._headers, cygrpc.SendStatusFromServerOperation(answer.metadata, code, details, _NO_FLAGS)

    def _closed(self, call: _Call) -> None:
        """The caller has its answer, or has gone."""
        assert call.pooled is not None
        with call.pooled.lock:
            call.pooled.over = True
        self._reported(call)

    def _reported(self, call: _Call) -> None:
        assert call.pooled is not None
        with call.pooled.lock:
            call.pooled.due -= 1
            self._open -= not call.pooled.due
        self._ask()
