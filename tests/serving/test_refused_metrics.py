"""Whoever is refused before it costs work is counted, by the way it came and the reason; nobody is counted as answered
who was not."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from tests.serving.batch_fakes import SIGNATURE, Recorder, batching
from tests.serving.conftest import Start
from tests.serving.running import PATIENCE_S, Running, predict, predict_body, running
from toolkit.core.tensors import Feed, Outputs
from toolkit.errors import Fault, ServingError
from toolkit.serving.batch_queue import BatchQueue, Request
from toolkit.serving.engine import DirectRuns, Run
from toolkit.serving.library import Lease, Library
from toolkit.serving.punctual import PunctualRuns
from toolkit.serving.timing import Timing
from toolkit.wire import rpc
from toolkit.wire.messages import ModelStatus, PredictRequest, Target
from toolkit.wire.plans import Plan
from toolkit.wire.wording import RefusedEarlyError

PATH, BODY = "/v1/models/double:predict", b'{"instances":[[1,1]]}'
HOUR_NS, HOUR_MICROS = 3600 * 10**9, 3600 * 10**6


class Hours(DirectRuns):
    """Runs that say they took an hour, and take no time."""

    def bind(self, lease: Lease, plan: Plan) -> Run:
        run = super().bind(lease, plan)

        def slowly(feed: Feed, timing: Timing) -> Outputs:
            outputs = run(feed, timing)
            timing.add("compute", HOUR_NS)
            return outputs

        return slowly


def refused(server: Running, entrypoint: str, reason: str) -> float:
    labels = {"entrypoint": entrypoint, "reason": reason}
    return server.host.metrics.registry.get_sample_value("tfx_refused_total", labels) or 0.0


def counted(server: Running, status: str) -> float:
    server.host.metrics.page()
    labels = {"model_name": "double", "status": status}
    return server.host.metrics.registry.get_sample_value(":tensorflow:serving:request_count", labels) or 0.0


def eventually(done: Callable[[], bool]) -> None:
    pause, until = threading.Event(), time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < until
        pause.wait(0.002)


@contextmanager
def channel_to(server: Running) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(server.address) as channel:
        yield channel


def code_of(channel: grpc.Channel, timeout_s: float = PATIENCE_S) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as error:
        predict(channel, timeout_s=timeout_s)
    return error.value.code(), error.value.details()


def test_a_deadline_that_cannot_be_met_is_refused_over_grpc_and_rest(start: Start) -> None:
    now_ns = time.perf_counter_ns()
    with start() as server, channel_to(server) as channel:
        runs = server.host.engine.runs
        assert isinstance(runs, PunctualRuns)
        runs.inner, runs.clock = Hours(), lambda: now_ns  # what was measured stays recent
        predict(channel)
        assert server.model.runs == 1
        code, told = code_of(channel)
        assert code is grpc.StatusCode.DEADLINE_EXCEEDED
        assert "ms away and the model needs 3600000" in told
        page = server.post(PATH, BODY)
        assert page.status == 504
        assert b"ms away and the model needs 3600000" in page.body
        assert server.model.runs == 1
        assert (refused(server, "GRPC", "deadline too near"), refused(server, "REST", "deadline too near")) == (1, 1)
        assert (counted(server, "OK"), counted(server, "DEADLINE_EXCEEDED")) == (1, 2)
        channel.unary_unary(rpc.PREDICT)(predict_body())  # who waits for ever is answered
        assert server.model.runs == 2


def batching_file(directory: Path, **parameters: int) -> str:
    path = directory / "batching.config"
    path.write_text("\n".join(f"{name} {{ value: {value} }}" for name, value in parameters.items()))
    return str(path)


def waiting(server: Running) -> int:
    batches = server.host._batches
    assert batches is not None
    with batches._changed:
        return sum(batch.rows for queue in batches._queues.values() for batch in queue.batches)


def test_past_the_batches_that_may_wait(tmp_path: Path) -> None:
    file = batching_file(
        tmp_path, max_batch_size=1, batch_timeout_micros=0, max_enqueued_batches=1, num_batch_threads=1
    )
    flags: dict[str, Any] = {"enable_batching": True, "batching_parameters_file": file}
    with (
        running(tmp_path, held=True, **flags) as server,
        channel_to(server) as channel,
        ThreadPoolExecutor(2) as pool,
    ):
        first = pool.submit(predict, channel)
        server.model.wait_for(inside=1)
        second = pool.submit(predict, channel)
        eventually(lambda: waiting(server) == 1)
        assert code_of(channel)[0] is grpc.StatusCode.UNAVAILABLE
        assert server.post(PATH, BODY).status == 503
        assert (refused(server, "GRPC", "batch queue full"), refused(server, "REST", "batch queue full")) == (1, 1)
        server.model.gate.set()
        assert first.result()[0]["y"].shape == second.result()[0]["y"].shape == (1, 2)


def test_past_a_deadline_in_the_queue_of_a_batch(tmp_path: Path) -> None:
    file = batching_file(tmp_path, max_batch_size=4, batch_timeout_micros=HOUR_MICROS)
    flags: dict[str, Any] = {"enable_batching": True, "batching_parameters_file": file, "rest_api_timeout_in_ms": 50}
    with running(tmp_path, **flags) as server, channel_to(server) as channel:
        assert server.post(PATH, BODY).status == 504
        eventually(lambda: refused(server, "REST", "deadline passed") == 1)
        for timeout_s in (0.2, 2.0, 10.0):  # on a busy machine a call may not even arrive in the first
            assert code_of(channel, timeout_s)[0] is grpc.StatusCode.DEADLINE_EXCEEDED
            server.wait_for_held(0)
            if refused(server, "GRPC", "deadline passed"):
                break
        assert refused(server, "GRPC", "deadline passed") == 1
        assert counted(server, "OK") == server.model.runs == 0


def test_who_was_told_504_is_not_counted_as_answered_when_the_model_is_done(tmp_path: Path) -> None:
    with running(tmp_path, held=True, rest_api_timeout_in_ms=50) as server:
        while not server.model.runs:  # a machine so busy that a thread needs as long as that refuses it unbegun
            assert server.post(PATH, BODY).status == 504
        server.model.gate.set()
        server.wait_for_held(0)
        assert (counted(server, "OK"), counted(server, "DEADLINE_EXCEEDED")) == (0, server.model.runs)


def test_a_request_for_a_model_that_nobody_knows_asks_for_no_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(tmp_path) as server, channel_to(server) as channel:
        looked: list[Library] = []

        def states(library: Library) -> dict[str, ModelStatus]:
            looked.append(library)
            return {}

        monkeypatch.setattr(Library, "states", states)
        request = rpc.encode_predict_request(PredictRequest(Target("nobody"), {}))
        with pytest.raises(grpc.RpcError, match="NOT_FOUND"):
            channel.unary_unary(rpc.PREDICT)(request, timeout=PATIENCE_S)
        assert server.post("/v1/models/nobody:predict", BODY).status == 404
        assert b'"nobody"' not in server.host.metrics.page()
        assert not looked
        monkeypatch.undo()


@pytest.mark.parametrize("begun", [0, 1, 2])
def test_only_a_request_of_which_nothing_was_begun_was_refused_early(begun: int) -> None:
    held = threading.Event()
    model = Recorder(held=held)
    with batching(max_batch_size=8, enable_large_batch_splitting=True, max_execution_batch_size=2) as callers:
        busy = callers.ask(model, [0.0, 0.0])
        assert model.entered.acquire(timeout=PATIENCE_S)
        request = Request(Plan(SIGNATURE, {"x": np.ones(4, np.float32)}, ("y",)), 4, 0.0)
        queue = BatchQueue(Lease(Target("m", 1), 1, model), "s", callers.runs._scheme)
        queue.add(request)
        with callers.runs._changed:
            for _ in range(begun):
                queue.batches.popleft()  # as a thread takes it
            if queue.batches:
                callers.runs._queues[0, "s"] = queue
        with pytest.raises(ServingError, match=r"^Timed out waiting" if begun else r"^The deadline passed$") as late:
            callers.runs._wait((0, "s"), request, deadline_ns=0)
        assert isinstance(late.value, RefusedEarlyError) == (begun == 0)
        assert late.value.fault is Fault.DEADLINE
        assert not callers.runs._queues
        held.set()
        busy.result(PATIENCE_S)
