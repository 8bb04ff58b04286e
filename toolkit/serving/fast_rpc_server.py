"""gRPC one level below grpcio's servicer API: Predict is answered on the thread that polls, a long one on the pool.

The servicer API hands every call from the polling thread to a pool and back, which costs several times what a small
model does. Here the polling thread itself reads and answers a Predict whose kind was short before, and reads the other
methods of TensorFlow Serving. Everything else (streams, health, reflection, TLS) goes through grpcio's own code. It
leans on parts of grpcio that are not public, so transports.py asks `self_check` before it takes this one.
"""

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from grpc import _server as grpcio
from grpc._cython import cygrpc

from toolkit.serving.core_calls import NO_FLAGS, Call, OtherCall, Step, nothing_sent, operations
from toolkit.serving.core_listener import polled_sockets
from toolkit.serving.crowd_polling import CrowdPolling
from toolkit.serving.eager_polling import EagerPolling
from toolkit.serving.other_calls import Core, OtherArrival, OtherCalls
from toolkit.serving.paces import Paces
from toolkit.serving.pooled_calls import PooledCalls
from toolkit.serving.rpc_calls import Asked, RpcAnswer, refused, too_late
from toolkit.serving.rpc_server import RpcServer
from toolkit.serving.short_calls import Short, ShortCalls
from toolkit.serving.timing import Timing
from toolkit.serving.transport import deadline_of
from toolkit.wire import rpc

log = logging.getLogger(__name__)
# Calls that the core may hand over without being asked again; a burst needs no round trip for each.
_ASKED_AHEAD, _ASKED_AT_LEAST = 32, 16
# So many events are taken in before calls are answered: callers past the bound hear so at once, and those before it are
# not kept waiting by them for ever.
_TAKEN_TOGETHER = 256
_STARTED = grpcio._ServerStage.STARTED
_AT_ONCE = 0.0


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
        self._pooled = PooledCalls(self._running, self.calls, self.capacity.inline, self._ended)
        core = Core(self._state.server, self._state.completion_queue, lambda: self._state.stage is _STARTED)
        self._others = OtherCalls(core, self.calls, self.pool_for)
        self._crowd: CrowdPolling | None = None
        if polled_sockets():
            sockets = cygrpc.CompletionQueue()
            self._state.server.register_completion_queue(sockets)
            self._crowd = CrowdPolling(sockets, cygrpc.CompletionType.queue_shutdown)

    def start(self) -> None:
        """Answers from now on."""
        state = self._state
        with state.lock:
            state.server.start()
            state.stage = grpcio._ServerStage.STARTED
            # Keeps grpcio from ending the core while it still reports of our calls.
            state.due.add(self._arrival)
            grpcio._request_call(state)
        self._ask()
        self._others.ask()
        if self._crowd is not None:
            self._crowd.start()
        threading.Thread(target=self._poll, name="rpc-poll", daemon=True).start()

    def _ask(self) -> None:
        """Lets the core hand over further calls."""
        state = self._state
        queue, server = state.completion_queue, state.server
        while self._asked < _ASKED_AHEAD and state.stage is _STARTED:
            try:
                server.request_registered_call(queue, queue, rpc.PREDICT, self._arrival)
            except ValueError:  # it is shutting down, a moment before its stage says so
                return
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
        if self._crowd is not None:
            self._crowd.stop()

    def _answer_short(self, group: Sequence[Short[Call]]) -> None:
        """Answers short calls: first all of them, and then their callers."""
        if self._crowd is not None and len(group) > 1:
            self._crowd.help()
        now_ns, usual = time.perf_counter_ns(), []
        for call, pace in group:
            if call.asked is None or (call.deadline_ns is not None and call.deadline_ns <= now_ns):
                self._finish(call, too_late(self.calls.metrics, Timing(queue_ns=now_ns - call.arrived_ns)))
            else:
                usual.append((call, call.asked, pace))
        answers = self.calls.answer_together([asked for _, asked, _ in usual])
        for (call, _, _), answer in zip(usual, answers, strict=True):
            self._finish(call, answer)
        for _, asked, pace in usual:
            timing = asked.timing
            pace.ran(timing.parse_ns + timing.compute_ns // asked.together + timing.encode_ns)

    def _take(self, event: Any) -> bool:
        """Does what an event asks for; says whether it was the last one."""
        tag = event.tag
        kind = tag.__class__
        if kind is Call:
            self._received(event.batch_operations[0].message(), tag)
        elif kind is _Answered:
            self._ended()
        elif kind is _Arrival:
            self._asked -= 1
            if event.success:
                self._arrived(event)
        elif kind is Step:
            tag.go(tag.call)
        elif kind is OtherCall:
            self._others.received(event.batch_operations[0].message(), tag)
        elif kind is OtherArrival:
            self._others.arrived(event)
        else:
            return not grpcio._process_event_and_continue(self._state, event)
        return not self._open and not self._asked and self._others.idle and self._end()

    def _ended(self) -> None:
        """The core has reported all that there is of a call."""
        self._open -= 1
        self._ask()

    def _end(self) -> bool:
        state = self._state
        with state.lock:
            state.due.discard(self._arrival)
            self._short.stop()
            return bool(grpcio._stop_serving(state))

    def _arrived(self, event: Any) -> None:
        now_ns = time.perf_counter_ns()
        if self._asked < _ASKED_AT_LEAST:
            self._ask()  # else once the answer is sent, when nobody waits for it
        call = Call(event.call, now_ns, deadline_of(event.call_details.deadline - time.time(), now_ns))
        self._open += 1
        if self._unread + len(self._short) + self._running.held >= self._limit:
            self._finish(call, refused(self.calls.metrics))
            return
        self._unread += 1
        call.core.start_server_batch((cygrpc.ReceiveMessageOperation(NO_FLAGS),), call)

    def _received(self, body: bytes | None, call: Call) -> None:
        self._unread -= 1
        if body is None:
            self._finish(call, nothing_sent(call, rpc.PREDICT))
            return
        started_ns = time.perf_counter_ns()
        form = self.calls.reader.read(body)
        if form is not None:
            timing = Timing(0, time.perf_counter_ns() - started_ns, 0, 0, "", call.deadline_ns)
            call.asked, call.pace = Asked(form, body, timing, call.arrived_ns), self._paces.of(form.kind)
            if not call.pace.pooled and self.capacity.inline:
                self._short.add(call, call.pace)
                return
        call.body = body
        self._pooled.take(call)

    def _finish(self, call: Call, answer: RpcAnswer) -> None:
        """Answers a call on the polling thread, and ends it."""
        ending = (*operations(answer), cygrpc.ReceiveCloseOnServerOperation(NO_FLAGS))
        call.core.start_server_batch(ending, self._answered)
