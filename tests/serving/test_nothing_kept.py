"""Of a request that was answered nothing stays in memory, however many different ones there were."""

import gc
import time
import tracemalloc
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.serving.fakes import BY_HAND
from tests.serving.running import PATIENCE_S, TARGET, HeldModel
from toolkit.core.tensors import Outputs
from toolkit.serving.batching import BatchedRuns
from toolkit.serving.engine import DirectRuns, Engine, Run, Runs
from toolkit.serving.library import Lease, Library
from toolkit.serving.metrics import Metrics
from toolkit.serving.punctual import PunctualRuns
from toolkit.serving.rest_calls import Asked as AskedRest
from toolkit.serving.rest_calls import RestCalls
from toolkit.serving.rpc_calls import Asked, RpcCalls
from toolkit.serving.scheme import Scheme
from toolkit.serving.servables import Servable
from toolkit.serving.timing import Timing
from toolkit.wire import rpc
from toolkit.wire.messages import ModelConfig, PredictRequest
from toolkit.wire.plans import Check, Plan
from toolkit.wire.rest import Call, RestCall
from toolkit.wire.settings import BatchingParameters

SIZES = range(1, 41)
WIDE = 8192  # values of a row: 32 kB
KEPT_BYTES = 1_000_000  # forms and what is known of them; all requests are more than ten times that


@dataclass
class Server:
    """Everything but the sockets."""

    engine: Engine
    noting: "Noting"
    metrics: Metrics = field(default_factory=Metrics)

    def __post_init__(self) -> None:
        self.rpc, self.rest = RpcCalls(self.engine, self.metrics), RestCalls(self.engine, self.metrics)

    def over_grpc(self, rows: int) -> None:
        body, timing = rpc_body(rows), Timing()
        assert self.rpc.answer(rpc.PREDICT, body, timing).status is None

    def over_grpc_together(self, rows: int) -> None:
        calls = []
        for body in (rpc_body(rows), rpc_body(rows)):
            form = self.rpc.reader.read(body)
            assert form is not None
            calls.append(Asked(form, body, Timing(), time.perf_counter_ns()))
        assert [answer.status for answer in self.rpc.answer_together(calls)] == [None, None]

    def over_rest(self, rows: int) -> None:
        body = f'{{"instances":[{",".join(["[1.5,2.5]"] * rows)}]}}'.encode()
        for _ in range(2):  # the first body of a form is read in full
            calls = [AskedRest(RestCall(Call.PREDICT, TARGET), body, Timing()) for _ in range(2)]
            assert [answer.status for answer in self.rest.answer_together(calls)] == [200, 200]


@dataclass
class Noting:
    """Passes plans on, and knows which arrays of theirs are still held."""

    inner: Runs
    arrays: list[weakref.ref[Any]] = field(default_factory=list)

    def check(self, servable: Servable) -> Check:
        return self.inner.check(servable)

    def bind(self, lease: Lease, plan: Plan) -> Run:
        self.arrays += map(weakref.ref, plan.feed.values())
        return self.inner.bind(lease, plan)

    def run(self, lease: Lease, plan: Plan, timing: Timing) -> Outputs:
        return self.bind(lease, plan)(plan.feed, timing)


def rpc_body(rows: int) -> bytes:
    return rpc.encode_predict_request(PredictRequest(TARGET, {"x": np.ones((rows, WIDE), np.float32)}))


@pytest.fixture(params=["direct", "batched"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """A server of a model that answers each row by itself."""
    (tmp_path / "double" / "1").mkdir(parents=True)
    model = HeldModel(rows_alone=("serving_default",), computes=True)
    model.gate.set()
    library = Library(model, BY_HAND)
    library.start([ModelConfig("double", str(tmp_path / "double"))])
    library.wait_until_attempted(["double"], PATIENCE_S)
    batches = BatchedRuns(Scheme.of(BatchingParameters(batch_timeout_micros=0, max_batch_size=100)))
    batched = request.param == "batched"
    noting = Noting(PunctualRuns(batches if batched else DirectRuns()))
    yield Server(Engine(library, noting, together=None if batched else DirectRuns()), noting)
    batches.stop(PATIENCE_S)
    library.stop(PATIENCE_S)


def grown(ask: Callable[[int], None]) -> int:
    """Bytes that are held more after requests of many sizes than before."""
    ask(1)
    gc.collect()
    tracemalloc.start()
    try:
        for rows in SIZES:
            ask(rows)
        gc.collect()
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("way", ["over_grpc", "over_grpc_together"])
def test_requests_of_many_sizes_are_forgotten_once_they_are_answered(server: Server, way: str) -> None:
    assert grown(getattr(server, way)) < KEPT_BYTES


def test_so_are_those_over_rest(server: Server) -> None:
    for rows in SIZES:
        server.over_rest(rows)
    gc.collect()
    assert len(server.noting.arrays) >= len(SIZES)
    assert not [array for array in server.noting.arrays if array() is not None]
