"""Answers REST calls from the engine, bytes to bytes; knows no HTTP library."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

from toolkit.core.tensors import Outputs
from toolkit.errors import Fault, ServingError, ToolkitError
from toolkit.serving.engine import Engine, Prepared
from toolkit.serving.merging import MOST_ROWS
from toolkit.serving.metrics import Metrics, Observation
from toolkit.serving.timing import GIVEN_UP_NS, Timing
from toolkit.wire import rest, rest_examples, rest_models, rest_outputs, wording
from toolkit.wire.codes import CODE_OF_FAULT, Code
from toolkit.wire.fast_rest import Body, NumbersReader
from toolkit.wire.messages import MetadataRequest, Target
from toolkit.wire.rest import Answer, Call, RestCall

log = logging.getLogger(__name__)
# Who has to answer sooner is asked alone at once: a batch that fails would leave no time for it.
_ROOM_NS = 10_000_000


@dataclass(slots=True)
class Asked:
    """One Predict while it is answered.

    Args:
        read: its body, once that is read; then what has to be run, what that gave, and what goes back.
        together: how many shared the times of one batch.
    """

    call: RestCall
    body: bytes
    timing: Timing
    read: Body | None = None
    prepared: Prepared | None = None
    outputs: Outputs | None = None
    answer: Answer | None = None
    code: Code = Code.OK
    together: int = 1


@dataclass(frozen=True)
class RestCalls:
    """What REST asks for, once its path is understood."""

    engine: Engine
    metrics: Metrics
    reader: NumbersReader = field(default_factory=NumbersReader)

    def routed(self, method: str, uri: str, origin: str) -> RestCall | Answer:
        """The call that is asked for, or the answer where it is none; the API's own is counted, under no name."""
        code = Code.OK
        try:
            found = rest.route(method, uri, origin)
        except ToolkitError as error:
            found, code = rest.error_answer(error), CODE_OF_FAULT[error.fault]
        if isinstance(found, Answer) and found.served:
            # All that is refused without an error is a preflight request without its origin.
            code = code if found.status == HTTPStatus.OK or code is not Code.OK else Code.FAILED_PRECONDITION
            self.metrics.observe(Observation("", "", "REST", code, 0), Timing())
        return found

    def answer(self, call: RestCall, body: bytes, timing: Timing) -> Answer:
        """What a call is answered with; never raises."""
        if call.call is Call.PREDICT:
            return self.answer_together((Asked(call, body, timing),))[0]
        started_ns = time.perf_counter_ns()
        code = Code.OK
        try:
            answer = Answer(200, _CALLS[call.call](self.engine, call.target, body, timing))
        except Exception as error:  # noqa: BLE001  # one request must not end the server
            answer, code = self._failed(call, error)
        self._observe(call, code, started_ns, timing)
        return answer

    def answer_together(self, calls: Sequence[Asked]) -> list[Answer]:
        """What several Predicts are answered with, in their order; never raises.

        What differs in its numbers alone is run as one batch where the model's rows do not depend on each other. Of the
        others first all are read, then all run, then all written. Each of these has more code and weights than fit the
        core's cache: taking turns for every single call makes all of them nearly twice as slow (docs/performance.md).
        """
        started_ns = time.perf_counter_ns()
        self._step(self._find, calls)
        for alike in _alike(calls):
            self._merge(alike, started_ns)
        left = [asked for asked in calls if asked.together == 1]
        for step in (self._prepare, self._run, self._write):
            self._step(step, left)
        for asked in left:
            self._observe(asked.call, asked.code, started_ns, asked.timing)
        return [asked.answer for asked in calls if asked.answer is not None]

    def _step(self, step: Callable[[Asked], None], calls: Sequence[Asked]) -> None:
        for asked in calls:
            if asked.answer is None:
                try:
                    step(asked)
                except Exception as error:  # noqa: BLE001  # one request must not end the server
                    asked.answer, asked.code = self._failed(asked.call, error)

    def _find(self, asked: Asked) -> None:
        started_ns = time.perf_counter_ns()
        asked.read = self.reader.read(asked.call.target, asked.body)
        asked.timing.parse_ns += time.perf_counter_ns() - started_ns

    def _merge(self, calls: Sequence[Asked], started_ns: int) -> None:
        """Answers calls of one form as one batch; where that fails none is answered, and each is asked by itself."""
        if len(calls) < 2:
            return
        reads, timing = [asked.read for asked in calls if asked.read is not None], Timing()
        try:
            outputs = self.engine.run_together(reads, timing)
            if outputs is None:
                return
            with timing.phase("encode"):
                bodies = rest_outputs.encode_predict_responses(outputs, reads[0].layout, len(calls))
        except Exception as error:  # noqa: BLE001  # whatever it is, it is said to the one whose fault it is
            log.debug("a batch of %d is taken apart: %s", len(calls), error)
            return
        for asked, body in zip(calls, bodies, strict=True):
            asked.answer, asked.together = Answer(200, body), len(calls)
            asked.timing.share(timing)
        first = calls[0].call
        seen = Observation(first.target.model, "Predict", "REST", Code.OK, time.perf_counter_ns() - started_ns)
        self.metrics.observe_all(seen, [asked.timing for asked in calls])

    def _prepare(self, asked: Asked) -> None:
        assert asked.read is not None
        asked.prepared = self.engine.prepare_body(asked.read, asked.timing)

    def _run(self, asked: Asked) -> None:
        assert asked.prepared is not None
        asked.outputs = self.engine.run(asked.prepared, asked.timing).outputs

    def _write(self, asked: Asked) -> None:
        assert asked.read is not None
        assert asked.outputs is not None
        started_ns = time.perf_counter_ns()
        asked.answer = Answer(200, rest_outputs.encode_predict_response(asked.outputs, asked.read.layout))
        asked.timing.encode_ns += time.perf_counter_ns() - started_ns

    def _failed(self, call: RestCall, error: Exception) -> tuple[Answer, Code]:
        """What a call that went wrong is answered with."""
        if isinstance(error, wording.RefusedEarlyError):
            self.metrics.refuse("REST", error.reason)
        if isinstance(error, ToolkitError):
            return rest.error_answer(error), CODE_OF_FAULT[error.fault]
        # Its client must learn the cause.
        log.error("%s %s", call.call.value, call.target.model, exc_info=error)
        unexpected = ServingError(f"{type(error).__name__}: {error}", hint="see the log", fault=Fault.INTERNAL)
        return rest.error_answer(unexpected), Code.INTERNAL

    def _observe(self, call: RestCall, code: Code, started_ns: int, timing: Timing) -> None:
        elapsed_ns = time.perf_counter_ns() - started_ns
        if timing.deadline_ns == GIVEN_UP_NS:
            code = Code.DEADLINE_EXCEEDED
        self.metrics.observe(Observation(call.target.model, API_NAMES[call.call], "REST", code, elapsed_ns), timing)


def _alike(calls: Sequence[Asked]) -> Iterator[Sequence[Asked]]:
    """Those that may be run together: of one target and one form, with time left to ask each by itself after that."""
    late_ns = time.perf_counter_ns() + _ROOM_NS
    found: dict[tuple[int, int], list[Asked]] = {}
    for asked in calls:
        read, deadline_ns = asked.read, asked.timing.deadline_ns
        # Without numbers it has to be read in full, which may give an error.
        if read is not None and read.form is not None and read.numbers is not None:
            if deadline_ns is not None and deadline_ns <= late_ns:
                continue
            key = (id(read.form), id(read.target))
            alike = found.setdefault(key, [])
            alike.append(asked)
            if (len(alike) + 1) * read.form.rows > MOST_ROWS:
                yield found.pop(key)
    yield from found.values()


def _classify(engine: Engine, target: Target, body: bytes, timing: Timing) -> bytes:
    with timing.phase("parse"):
        request = rest_examples.decode_examples_request(target, body)
    response = engine.classify(request, timing)
    with timing.phase("encode"):
        return rest_examples.encode_classify_response(response)


def _regress(engine: Engine, target: Target, body: bytes, timing: Timing) -> bytes:
    with timing.phase("parse"):
        request = rest_examples.decode_examples_request(target, body)
    response = engine.regress(request, timing)
    with timing.phase("encode"):
        return rest_examples.encode_regress_response(response)


def _status(engine: Engine, target: Target, _: bytes, __: Timing) -> bytes:
    return rest_models.encode_status_response(engine.status(target))


def _metadata(engine: Engine, target: Target, _: bytes, __: Timing) -> bytes:
    return rest_models.encode_metadata_response(*engine.metadata(MetadataRequest(target)))


_CALLS: Mapping[Call, Callable[[Engine, Target, bytes, Timing], bytes]] = {
    Call.CLASSIFY: _classify,
    Call.REGRESS: _regress,
    Call.STATUS: _status,
    Call.METADATA: _metadata,
}
# As the same calls are named over gRPC.
API_NAMES = {
    Call.PREDICT: "Predict",
    Call.CLASSIFY: "Classify",
    Call.REGRESS: "Regress",
    Call.STATUS: "GetModelStatus",
    Call.METADATA: "GetModelMetadata",
}
RUNNING = frozenset({Call.PREDICT, Call.CLASSIFY, Call.REGRESS})
