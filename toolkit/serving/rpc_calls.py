"""Answers gRPC calls from the engine, bytes to bytes; knows no gRPC library, so that any transport can use it."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from toolkit.errors import Fault, ServingError, ToolkitError
from toolkit.serving.callers import Caller
from toolkit.serving.engine import Engine, Prepared
from toolkit.serving.merging import Merged
from toolkit.serving.metrics import Metrics, Observation
from toolkit.serving.rpc_methods import METHOD_NAMES, METHODS, MethodCall
from toolkit.serving.timing import Timing
from toolkit.wire import rpc, wording
from toolkit.wire.codes import Code
from toolkit.wire.fast_answers import PredictWriter
from toolkit.wire.fast_predict import Form, PredictReader
from toolkit.wire.messages import PredictResponse
from toolkit.wire.rpc import RpcStatus

log = logging.getLogger(__name__)
_ROOM_NS = 100_000_000  # a call with less time left runs by itself
# What a well-behaved client waits before it tries again (gRFC A6).
RETRY_HINT = (("grpc-retry-pushback-ms", "50"),)


class RpcAnswer(NamedTuple):
    """What goes back: the body of a call that went well, or its status; and trailing metadata."""

    body: bytes
    status: RpcStatus | None
    metadata: tuple[tuple[str, str], ...]


def too_late(metrics: Metrics, timing: Timing) -> RpcAnswer:
    """The answer for a caller whose deadline has passed."""
    metrics.refuse("GRPC", "deadline passed")
    return RpcAnswer(b"", rpc.status_of(wording.deadline_cannot_be_met(0, 0)), timing.as_metadata())


def refused(metrics: Metrics) -> RpcAnswer:
    """The answer for a call past the queue, which has not waited at all."""
    metrics.refuse("GRPC", "queue full")
    return RpcAnswer(b"", rpc.status_of(wording.threads_exhausted()), (*Timing().as_metadata(), *RETRY_HINT))


class Answering(Protocol):
    """What a transport asks."""

    @property
    def reader(self) -> PredictReader:
        """Reads the usual Predict."""

    @property
    def metrics(self) -> Metrics:
        """Counts what is refused."""

    def knows(self, method: str) -> bool:
        """Whether there is such a method."""

    def answer(self, method: str, body: bytes, timing: Timing, caller: Caller | None = None) -> RpcAnswer:
        """What a call is answered with; never raises. A reload waits for models no longer than its caller does."""

    def answer_together(self, calls: "Sequence[Asked]") -> list[RpcAnswer]:
        """What several Predicts are answered with, in their order; never raises."""


@dataclass(slots=True)
class Asked:
    """A Predict of a known form while it is answered.

    Args:
        arrived_ns: when it came, by time.perf_counter_ns.
        prepared: what has to be run; then what it gave, and then its bytes, or the status of what went wrong.
        together: how many ran as one batch, all of which spend its whole time computing.
    """

    form: Form
    body: bytes
    timing: Timing
    arrived_ns: int
    prepared: Prepared | None = None
    response: PredictResponse | None = None
    answer: bytes = b""
    status: RpcStatus | None = None
    together: int = 1


@dataclass(frozen=True)
class RpcCalls:
    """The methods of PredictionService and ModelService.

    Args:
        content: answer Predict with tensor_content (--enable_serialization_as_tensor_content).
    """

    engine: Engine
    metrics: Metrics
    content: bool = False
    reader: PredictReader = field(default_factory=PredictReader)
    writer: PredictWriter = field(default_factory=PredictWriter)

    def answer(self, method: str, body: bytes, timing: Timing, caller: Caller | None = None) -> RpcAnswer:
        """What a call is answered with; never raises. A reload waits for models no longer than its caller does."""
        started_ns = time.perf_counter_ns()
        call = MethodCall(self.engine, self.metrics, body, timing, caller)
        found, status = b"", None
        try:
            found = self._predict(call) if method == rpc.PREDICT else METHODS[method](call)
        except Exception as error:  # noqa: BLE001  # one request must not end the server
            status = self._status_of(method, error)
        code = Code.OK if status is None else status.code
        seen = Observation(call.model, METHOD_NAMES[method], "GRPC", code, time.perf_counter_ns() - started_ns)
        return self._answer(found, status, seen, timing)

    def _predict(self, call: MethodCall) -> bytes:
        timing = call.timing
        with timing.phase("parse"):
            form = self.reader.read(call.body)
        if form is not None:
            call.model = form.target.model
            response = call.engine.run(call.engine.prepare_form(form, call.body, timing), timing)
        else:
            with timing.phase("parse"):
                request = rpc.decode_predict_request(call.body)
            call.model = request.target.model
            response = call.engine.predict(request, timing)
        return self.written(response, timing)

    def answer_together(self, calls: Sequence[Asked]) -> list[RpcAnswer]:
        """What several Predicts are answered with, in their order; never raises.

        First all are read, then all run, then all written. Each of these has more code and weights than fit the core's
        cache: taking turns for every single call makes all of them nearly twice as slow (docs/performance.md).
        """
        started_ns = time.perf_counter_ns()
        if len(calls) == 1:  # the steps of a group would cost a call that comes alone some microseconds
            self._each(self._at_once, calls)
            return [self._answer_of(calls[0], started_ns)]
        self._each(self._prepare, calls)
        groups = list(_alike(calls, started_ns))
        joined = {id(asked) for _, group in groups for asked in group}
        # First those that run by themselves, since some of them are in a hurry.
        self._each(self._run, [asked for asked in calls if id(asked) not in joined])
        for merged, group in groups:
            self._run_merged(merged, group)
        self._each(self._run, [asked for asked in calls if asked.response is None])
        self._each(self._write, calls)
        return [self._answer_of(asked, started_ns) for asked in calls]

    def _at_once(self, asked: Asked) -> None:
        self._prepare(asked)
        self._run(asked)
        self._write(asked)

    def _each(self, step: Callable[[Asked], None], calls: Sequence[Asked]) -> None:
        for asked in calls:
            if asked.status is None:
                try:
                    step(asked)
                except Exception as error:  # noqa: BLE001  # one request must not end the server
                    asked.status = self._status_of(rpc.PREDICT, error)

    def _status_of(self, method: str, error: Exception) -> RpcStatus:
        """What a call that went wrong ends with."""
        if isinstance(error, wording.RefusedEarlyError):
            self.metrics.refuse("GRPC", error.reason)
        if isinstance(error, ToolkitError):
            return rpc.status_of(error)
        # Its client must learn the cause.
        log.error("%s", method, exc_info=error)
        return rpc.status_of(ServingError(f"{type(error).__name__}: {error}", hint="see the log", fault=Fault.INTERNAL))

    def _run_merged(self, merged: Merged, group: Sequence[Asked]) -> None:
        """Runs calls as one batch; where that fails none has an answer, and each is run by itself."""
        prepared = [asked.prepared for asked in group if asked.prepared is not None]
        try:
            responses = self.engine.run_merged(merged, prepared, [asked.timing for asked in group])
        except Exception as error:  # noqa: BLE001  # whatever it is, it is said to the one whose fault it is
            log.debug("a batch of %d is taken apart: %s", len(group), error)
            return
        for asked, response in zip(group, responses, strict=True):
            asked.response, asked.together = response, len(group)

    def _answer_of(self, asked: Asked, started_ns: int) -> RpcAnswer:
        now_ns, timing = time.perf_counter_ns(), asked.timing
        # Between its own steps it waited for those of the others.
        timing.queue_ns = now_ns - asked.arrived_ns - timing.parse_ns - timing.compute_ns - timing.encode_ns
        code = Code.OK if asked.status is None else asked.status.code
        seen = Observation(asked.form.target.model, "Predict", "GRPC", code, now_ns - started_ns)
        return self._answer(asked.answer, asked.status, seen, timing)

    def _answer(self, found: bytes, status: RpcStatus | None, seen: Observation, timing: Timing) -> RpcAnswer:
        self.metrics.observe(seen, timing)
        metadata = timing.as_metadata()
        if seen.code is Code.RESOURCE_EXHAUSTED or seen.code is Code.UNAVAILABLE:
            metadata += RETRY_HINT
        return RpcAnswer(found, status, metadata)

    def _prepare(self, asked: Asked) -> None:
        asked.prepared = self.engine.prepare_form(asked.form, asked.body, asked.timing)

    def _run(self, asked: Asked) -> None:
        assert asked.prepared is not None
        asked.response = self.engine.run(asked.prepared, asked.timing)

    def _write(self, asked: Asked) -> None:
        assert asked.response is not None
        asked.answer = self.written(asked.response, asked.timing)

    def written(self, response: PredictResponse, timing: Timing) -> bytes:
        """The bytes of a Predict's answer."""
        started_ns = time.perf_counter_ns()
        content = self.content
        found = rpc.encode_predict_response(response, content=True) if content else self.writer.write(response)
        timing.encode_ns += time.perf_counter_ns() - started_ns
        return found

    @staticmethod
    def knows(method: str) -> bool:
        """Whether this is one of the methods."""
        return method in METHOD_NAMES


def _alike(calls: Sequence[Asked], now_ns: int) -> Iterator[tuple[Merged, Sequence[Asked]]]:
    """Those that may be run as one batch, at least two at a time."""
    found: dict[Merged, list[Asked]] = {}
    for asked in calls:
        merged = None if asked.prepared is None else asked.prepared.merged
        deadline_ns = asked.timing.deadline_ns
        if merged is None or (deadline_ns is not None and deadline_ns - now_ns < _ROOM_NS):
            continue
        group = found.setdefault(merged, [])
        group.append(asked)
        if len(group) == merged.most:
            yield merged, found.pop(merged)
    yield from ((merged, group) for merged, group in found.items() if len(group) > 1)
