"""Predicts that take too long for the thread that polls: a pool answers them, and the core reports of each."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from grpc._cython import cygrpc

from toolkit.serving.core_calls import NO_FLAGS, Call, Pooled, Step, operations
from toolkit.serving.engine import Prepared
from toolkit.serving.flags import CORES
from toolkit.serving.lanes import Lane
from toolkit.serving.paces import Pace
from toolkit.serving.pool import BoundedPool
from toolkit.serving.rpc_calls import Answering, RpcAnswer, too_late
from toolkit.serving.timing import Timing
from toolkit.wire import rpc


@dataclass(frozen=True)
class PooledCalls:
    """Calls on a pool; all but their work happens on the thread that polls.

    Args:
        pool: whose threads answer, and which counts what it holds.
        calls: the answers.
        in_lanes: whether calls that keep a core busy wait for one; not where requests are gathered into batches.
        ended: called once the core has nothing more to report of a call.
    """

    pool: BoundedPool
    calls: Answering
    in_lanes: bool
    ended: Callable[[], None]

    def take(self, call: Call) -> None:
        """Answers one more, when a thread is free."""
        call.pooled = Pooled()
        call.core.start_server_batch((cygrpc.ReceiveCloseOnServerOperation(NO_FLAGS),), Step(self._closed, call))
        lane = None if call.pace is None else call.pace.lane
        if lane is not None:
            lane.add(call)
        else:
            self.pool.submit(self._work, (call,))

    def _work(self, calls: Sequence[Call]) -> int:
        """Answers those that somebody still waits for; says how many of them the model ran."""
        started_ns = time.perf_counter_ns()
        due = [call for call in calls if call.pooled is not None and not call.pooled.over]
        for call, answer in self._answers(due, started_ns):
            pooled = call.pooled
            assert pooled is not None
            with pooled.lock:
                if not pooled.over:
                    pooled.due += 1
                    call.core.start_server_batch(operations(answer), Step(self._reported, call))
        # What was refused, or came too late, says nothing about its kind.
        took_ns, ran = time.perf_counter_ns() - started_ns, 0
        for call in due:
            asked, pace = call.asked, call.pace
            if asked is None or pace is None or asked.prepared is None or asked.response is None:
                continue
            ran += 1
            pace.ran_pooled(took_ns // len(due))
            self._assign(asked.prepared, pace)
        return ran

    def _assign(self, prepared: Prepared, pace: Pace) -> None:
        """Calls whose runtime computes from start to end wait for a core; for the others threads are enough."""
        if not prepared.computes or not self.in_lanes:
            pace.lane = None
            return
        lane = pace.lane or Lane(self.pool, CORES, self._work)
        lane.joins = prepared.merged is not None
        pace.lane = lane

    def _answers(self, calls: Sequence[Call], now_ns: int) -> Iterator[tuple[Call, RpcAnswer]]:
        usual: list[Call] = []
        for call in calls:
            if call.deadline_ns is not None and call.deadline_ns <= now_ns:
                yield call, too_late(self.calls.metrics, Timing(queue_ns=now_ns - call.arrived_ns))
            elif call.asked is not None:
                usual.append(call)
            else:
                timing = Timing(queue_ns=now_ns - call.arrived_ns, deadline_ns=call.deadline_ns)
                yield call, self.calls.answer(rpc.PREDICT, call.body, timing)
        answers = self.calls.answer_together([call.asked for call in usual if call.asked is not None])
        yield from zip(usual, answers, strict=True)

    def _closed(self, call: Call) -> None:
        """The caller has its answer, or has gone."""
        assert call.pooled is not None
        with call.pooled.lock:
            call.pooled.over = True
        self._reported(call)

    def _reported(self, call: Call) -> None:
        assert call.pooled is not None
        with call.pooled.lock:
            call.pooled.due -= 1
            over = not call.pooled.due
        if over:
            self.ended()
