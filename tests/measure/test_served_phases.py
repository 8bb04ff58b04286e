"""A delay inside the server shows in its own column, whichever part of a request it is put into."""

import time
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toolkit.core.runner import FunctionRunner
from toolkit.measure.phases import phases_of
from toolkit.runtimes.served import Moments, open_remote
from toolkit.serving import settings
from toolkit.serving.embedded import ServeRequest, Serving, serve
from toolkit.serving.pool import BoundedPool
from toolkit.serving.rpc_calls import RpcCalls
from toolkit.serving.timing import PHASES
from toolkit.serving.transport import Capacity
from toolkit.wire import rest_outputs
from toolkit.wire.endpoints import parse_url
from toolkit.wire.fast_predict import PredictReader
from toolkit.wire.fast_rest import NumbersReader

DELAY_S, CALLS = 0.02, 5


@pytest.fixture(scope="module")
def serving(request: pytest.FixtureRequest, shipped: Callable[[str], Path]) -> Iterator[Serving]:
    """The mlp, served here by its ONNX file: short requests on the thread that reads them, or on the pool."""

    def capacity(*args: Any) -> Capacity:
        return replace(Capacity(*args), inline=request.param)

    flags = {"port": 0, "rest_api_port": 0, "runtime": "onnx"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings, "Capacity", capacity)
        with serve(shipped("mlp"), ServeRequest(flags=flags)) as running:
            yield running


def make_late(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
    """Lets a function of a module or a class begin 20 ms later."""
    function = getattr(owner, name)

    def slowly(*args: Any, **options: Any) -> Any:
        time.sleep(DELAY_S)
        return function(*args, **options)

    monkeypatch.setattr(owner, name, slowly)


def delay_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is handed to a thread begins late."""
    submit = BoundedPool.submit

    def submitted(self: BoundedPool, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        def later(*given: Any, **more: Any) -> Any:
            time.sleep(DELAY_S)
            return function(*given, **more)

        return submit(self, later, *args, **options)

    monkeypatch.setattr(BoundedPool, "submit", submitted)


def delay_parse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading a body takes long."""
    make_late(monkeypatch, NumbersReader, "read")
    make_late(monkeypatch, PredictReader, "read")


def delay_compute(monkeypatch: pytest.MonkeyPatch) -> None:
    """The runtime takes long."""
    make_late(monkeypatch, FunctionRunner, "run")


def delay_encode(monkeypatch: pytest.MonkeyPatch) -> None:
    """Writing an answer takes long."""
    make_late(monkeypatch, rest_outputs, "encode_predict_response")
    (writer,) = (field.default_factory for field in fields(RpcCalls) if field.name == "writer")
    make_late(monkeypatch, writer, "write")


DELAYS = {"queue": delay_queue, "parse": delay_parse, "compute": delay_compute, "encode": delay_encode}


# What is answered on the thread that reads it waits for no other.
CASES = [(False, "queue"), *((inline, phase) for inline in (False, True) for phase in PHASES if phase != "queue")]


@pytest.mark.parametrize("scheme", ["http", "grpc"])
@pytest.mark.parametrize(("serving", "slow"), CASES, indirect=["serving"])
def test_a_delay_lands_in_its_own_column(
    scheme: str, slow: str, serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = serving.grpc if scheme == "grpc" else serving.rest
    assert endpoint is not None
    moments: list[Moments] = []
    with open_remote(parse_url(f"{scheme}://{endpoint.address}/mlp:serving_default"), watch=moments.append) as runner:
        # Of the server's side alone: the client's runner is not the one that computes.
        ask = runner.run
        DELAYS[slow](monkeypatch)
        for _ in range(CALLS):
            ask({"image": np.zeros((1, 28, 28), np.float32)})
    # The least of each: what the machine does besides makes some calls longer, hardly all.
    least = {name: float(np.min(values)) / 1e9 for name, values in phases_of(moments).items()}
    assert least[slow] >= DELAY_S * 0.95
    assert max((value, name) for name, value in least.items())[1] == slow
    assert sum(value for name, value in least.items() if name != slow) < DELAY_S
