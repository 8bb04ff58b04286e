"""gRPC one level below grpcio's servicer API: Predict is answered on the thread that polls, a long one on the pool.

The servicer API hands every call from the polling thread to a pool and back, which costs several times what a small
model does. Here the polling thread itself reads and answers a Predict whose kind was short before. Everything else
(other methods, streams, health, reflection, TLS) goes through grpcio's own code. It leans on parts of grpcio that are
not public, so transports.py asks `self_check` before it takes this one.
"""

import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from grpc import _server as grpcio
from grpc._cython import cygrpc

from toolkit.serving.paces import Kind, Paces
from toolkit.serving.rpc_calls import RETRY_HINT, RpcAnswer
from toolkit.serving.rpc_server import RpcServer
from toolkit.serving.timing import Timing
from toolkit.wire import rpc, wording
from toolkit.wire.codes import Code
from toolkit.wire.messages import PredictRequest

log = logging.getLogger(__name__)
# Calls that the core may hand over without being asked again; a burst needs no round trip for each.
_ASKED_AHEAD = 32
_SHORT_TOGETHER = 16
_AT_ONCE = 0.0
_NO_FLAGS = 0
_NOTHING_SENT = rpc.RpcStatus(Code.UNIMPLEMENTED, f'"{rpc.PREDICT}" requires exactly one request message.')


@dataclass(eq=False, slots=True)
class _Call:
    """One Predict from its headers to its end.

    Args:
        deadline_ns: when the caller stops waiting, by time.perf_counter_ns.
        due: what the core has still to report of it; at 0 it is over.
    """

    core: Any
    arrived_ns: int
    deadline_ns: int | None
    due: int = 1
    over: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(slots=True)
class _Step:
    """What to do when the core reports: the tag of an operation."""

    go: Callable[[Any, _Call], None]
    call: _Call


class _Arrival:
    """The tag of a Predict's headers."""


@dataclass
class FastRpcServer(RpcServer):
    """A Transport over grpcio's completion queue."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._state = self._server._state
        self._state.server.register_method(rpc.PREDICT)
        self._limit = self.capacity.threads + self.capacity.max_queue
        self._paces = Paces()
        self._short: list[tuple[_Call, bytes, PredictRequest, Kind]] = []
        self._asked = 0  # calls that the core may still hand over
        self._open = 0  # calls that it has still to report of
        self._unread = 0  # those among them whose message is awaited
        self._arrival, self._headers = _Arrival(), cygrpc.SendInitialMetadataOperation((), _NO_FLAGS)

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
        for _ in range(_ASKED_AHEAD):
            self._ask()
        threading.Thread(target=self._poll, name="rpc-poll", daemon=True).start()

    def _ask(self) -> None:
        queue = self._state.completion_queue
        self._state.server.request_registered_call(queue, queue, rpc.PREDICT, self._arrival)
        self._asked += 1

    def _poll(self) -> None:
        poll, ended, short = self._state.completion_queue.poll, False, self._short
        while not ended:
            # With calls to answer, only what is there already is taken in before.
            event = poll(_AT_ONCE) if short else poll()
            try:
                if event.completion_type != cygrpc.CompletionType.queue_timeout:
                    ended = self._take(event)
                    if len(short) < _SHORT_TOGETHER:
                        continue
                self._answer_short()
            except Exception:  # one call must not end the server
                log.exception("a gRPC call was lost")
            finally:
                # An event that is still held holds its call, and the core would wait for that when it ends.
                event = None

    def _answer_short(self) -> None:
        """Answers the short calls that are there, first all of them and then their callers.

        Reading, running and sending each have more code and weights than fits the core's cache: taking turns for every
        single call makes all of them twice as slow.
        """
        taken, self._short[:] = tuple(self._short), ()
        answers = []
        for call, body, request, kind in taken:
            started_ns = time.perf_counter_ns()
            answers.append((call, self._answer(call, body, request)))
            self._paces.ran(kind, time.perf_counter_ns() - started_ns)
        for call, answer in answers:
            self._finish(call, answer)

    def _take(self, event: Any) -> bool:
        """Does what an event asks for; says whether it was the last one."""
        tag = event.tag
        if tag.__class__ is _Step:
            tag.go(event, tag.call)
        elif tag is self._arrival:
            self._asked -= 1
            if event.success:
                self._arrived(event)
        else:
            return not grpcio._process_event_and_continue(self._state, event)
        return not self._open and not self._asked and self._end()

    def _end(self) -> bool:
        state = self._state
        with state.lock:
            state.due.discard(self._arrival)
            return bool(grpcio._stop_serving(state))

    def _arrived(self, event: Any) -> None:
        now_ns = time.perf_counter_ns()
        if self._state.stage is grpcio._ServerStage.STARTED:
            self._ask()
        left_s = event.call_details.deadline - time.time()
        call = _Call(event.call, now_ns, None if left_s == math.inf else now_ns + int(left_s * 1e9))
        self._open += 1
        if self._unread + self._running.held >= self._limit:
            self.calls.metrics.refuse("GRPC", "queue full")
            self._finish(call, RpcAnswer(b"", rpc.status_of(wording.threads_exhausted()), RETRY_HINT))
            return
        self._unread += 1
        call.core.start_server_batch((cygrpc.ReceiveMessageOperation(_NO_FLAGS),), _Step(self._received, call))

    def _received(self, event: Any, call: _Call) -> None:
        self._unread -= 1
        body = event.batch_operations[0].message()
        if body is None:
            self._finish(call, RpcAnswer(b"", _NOTHING_SENT, ()))
            return
        request = self.calls.reader.read(body)
        kind = (request.target, len(body)) if request is not None else None
        if request is not None and kind is not None and self.capacity.inline and self._paces.short(kind):
            self._short.append((call, body, request, kind))
            return
        call.core.start_server_batch((cygrpc.ReceiveCloseOnServerOperation(_NO_FLAGS),), _Step(self._closed, call))
        self._running.submit(self._work, call, body, request, kind)

    def _work(self, call: _Call, body: bytes, request: PredictRequest | None, kind: Kind | None) -> None:
        """Answers a call on the pool, unless nobody waits for it any more."""
        if call.over:
            return
        started_ns = time.perf_counter_ns()
        answer = self._answer(call, body, request)
        if kind is not None:
            self._paces.ran_pooled(kind, time.perf_counter_ns() - started_ns)
        with call.lock:
            if not call.over:
                call.due += 1
                call.core.start_server_batch(self._operations(answer), _Step(self._reported, call))

    def _answer(self, call: _Call, body: bytes, request: PredictRequest | None) -> RpcAnswer:
        now_ns = time.perf_counter_ns()
        if call.deadline_ns is not None and call.deadline_ns <= now_ns:
            self.calls.metrics.refuse("GRPC", "deadline passed")
            return RpcAnswer(b"", rpc.status_of(wording.deadline_cannot_be_met(0, 0)), ())
        timing = Timing(queue_ns=now_ns - call.arrived_ns, deadline_ns=call.deadline_ns)
        return self.calls.answer(rpc.PREDICT, body, timing, request)

    def _finish(self, call: _Call, answer: RpcAnswer) -> None:
        """Answers a call on the polling thread, and ends it."""
        ending = (*self._operations(answer), cygrpc.ReceiveCloseOnServerOperation(_NO_FLAGS))
        call.core.start_server_batch(ending, _Step(self._reported, call))

    def _operations(self, answer: RpcAnswer) -> tuple[Any, ...]:
        if answer.status is None:
            sent = cygrpc.SendMessageOperation(answer.body, _NO_FLAGS)
            return self._headers, sent, cygrpc.SendStatusFromServerOperation(answer.metadata, 0, b"", _NO_FLAGS)
        code, details = int(answer.status.code), answer.status.details.encode()
        return self._headers, cygrpc.SendStatusFromServerOperation(answer.metadata, code, details, _NO_FLAGS)

    def _closed(self, event: Any, call: _Call) -> None:
        """The caller has its answer, or has gone."""
        with call.lock:
            call.over = True
        self._reported(event, call)

    def _reported(self, _: Any, call: _Call) -> None:
        with call.lock:
            call.due -= 1
            self._open -= not call.due
