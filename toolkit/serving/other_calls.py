"""Calls of other methods than Predict on grpcio's core: read where they arrive, answered on their method's threads.

grpcio's own code would have a thread wait for each message: a few calls that are never sent whole would take them all.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from grpc._cython import cygrpc

from toolkit.serving.core_calls import NO_FLAGS, Call, OtherCall, Step, nothing_sent, operations
from toolkit.serving.pool import BoundedPool
from toolkit.serving.pooled_calls import PooledCalls
from toolkit.serving.rpc_calls import Answering, RpcAnswer, refused, too_late
from toolkit.serving.rpc_methods import METHODS, RUNNING
from toolkit.serving.timing import Timing
from toolkit.serving.transport import deadline_of


@dataclass(frozen=True, slots=True)
class OtherArrival:
    """The tag of a call's headers."""

    method: str


@dataclass(frozen=True)
class Core:
    """What the core is asked through.

    Args:
        server: grpcio's, of the core.
        queue: where it reports.
        started: whether it takes calls.
    """

    server: Any
    queue: Any
    started: Callable[[], bool]


class OtherCalls:
    """All of it but `answer` happens on the thread that polls.

    Args:
        core: not started yet.
        calls: the answers.
        pool_for: the threads of a method; those that run a model share theirs, and their bound, with Predict.
    """

    def __init__(self, core: Core, calls: Answering, pool_for: Callable[[str], BoundedPool]) -> None:
        self._core, self._calls = core, calls
        self._asked = 0  # calls that the core may still hand over
        self._open = 0  # calls that it has still to report of
        self._pooled = {method: _OtherPooled(pool_for(method), calls, False, self._ended) for method in METHODS}
        for method in METHODS:
            core.server.register_method(method)

    @property
    def idle(self) -> bool:
        """Whether the core has nothing to report."""
        return not self._open and not self._asked

    def ask(self) -> None:
        """Lets the core hand over the first calls."""
        for method in METHODS:
            self._ask(OtherArrival(method))

    def _ask(self, arrival: OtherArrival) -> None:
        core = self._core
        if core.started():
            try:
                core.server.request_registered_call(core.queue, core.queue, arrival.method, arrival)
            except ValueError:  # it is shutting down, a moment before it says so
                return
            self._asked += 1

    def arrived(self, event: Any) -> None:
        """A call's headers came, or the core will hand over no more of its method."""
        self._asked -= 1
        if not event.success:
            return
        method, now_ns = event.tag.method, time.perf_counter_ns()
        self._ask(event.tag)
        self._open += 1
        deadline_ns = deadline_of(event.call_details.deadline - time.time(), now_ns)
        call = OtherCall(event.call, now_ns, deadline_ns, method=method)
        if method in RUNNING:
            pool = self._pooled[method].pool
            if pool.full:
                self._finish(call, refused(self._calls.metrics))
                return
            pool.hold(1)
        call.core.start_server_batch((cygrpc.ReceiveMessageOperation(NO_FLAGS),), call)

    def received(self, body: bytes | None, call: OtherCall) -> None:
        """Its message came, or its caller has gone or has sent none."""
        pooled = self._pooled[call.method]
        if call.method in RUNNING:
            pooled.pool.hold(-1)
        if body is None:
            self._finish(call, nothing_sent(call, call.method))
            return
        call.body = body
        pooled.take(call)

    def _finish(self, call: OtherCall, answer: RpcAnswer) -> None:
        ending = (*operations(answer), cygrpc.ReceiveCloseOnServerOperation(NO_FLAGS))
        call.core.start_server_batch(ending, Step(lambda _: self._ended(), call))

    def _ended(self) -> None:
        self._open -= 1


class _OtherPooled(PooledCalls):
    """Calls of one method on its threads."""

    def _answers(self, calls: Sequence[Call], now_ns: int) -> Iterator[tuple[Call, RpcAnswer]]:
        for call in calls:
            assert isinstance(call, OtherCall)
            timing = Timing(queue_ns=now_ns - call.arrived_ns, deadline_ns=call.deadline_ns)
            if call.deadline_ns is not None and call.deadline_ns <= now_ns:
                yield call, too_late(self.calls.metrics, timing)
            else:
                yield call, self.calls.answer(call.method, call.body, timing, call.caller)

    def _closed(self, call: Call) -> None:
        super()._closed(call)
        assert isinstance(call, OtherCall)
        call.caller.leave()
