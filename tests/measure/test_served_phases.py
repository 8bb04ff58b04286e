"""A delay inside the server shows in its own column, whichever part of a request it is put into."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toolkit.core.runner import FunctionRunner
from toolkit.measure.phases import phases_of
from toolkit.runtimes.served import Moments, open_remote
from toolkit.serving.embedded import ServeRequest, Serving, serve
from toolkit.serving.pool import BoundedPool
from toolkit.serving.timing import PHASES
from toolkit.wire import rest_outputs, rest_predict
from toolkit.wire.endpoints import parse_url

DELAY_S, CALLS = 0.02, 5


@pytest.fixture(scope="module")
def serving(shipped: Callable[[str], Path]) -> Iterator[Serving]:
    """The mlp, served in this process by its ONNX file."""
    flags = {"port": 0, "rest_api_port": 0, "runtime": "onnx"}
    with serve(shipped("mlp"), ServeRequest(flags=flags)) as running:
        yield running


def late(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, 20 ms later."""

    def slowly(*args: Any, **options: Any) -> Any:
        time.sleep(DELAY_S)
        return function(*args, **options)

    return slowly


def delay_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is handed to a thread begins late."""
    submit = BoundedPool.submit
    monkeypatch.setattr(
        BoundedPool, "submit", lambda self, function, *args, **rest: submit(self, late(function), *args, **rest)
    )


def delay_parse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading a body takes long."""
    monkeypatch.setattr(rest_predict, "decode_predict_request", late(rest_predict.decode_predict_request))


def delay_compute(monkeypatch: pytest.MonkeyPatch) -> None:
    """The runtime takes long."""
    monkeypatch.setattr(FunctionRunner, "run", late(FunctionRunner.run))


def delay_encode(monkeypatch: pytest.MonkeyPatch) -> None:
    """Writing an answer takes long."""
    monkeypatch.setattr(rest_outputs, "encode_predict_response", late(rest_outputs.encode_predict_response))


DELAYS = {"queue": delay_queue, "parse": delay_parse, "compute": delay_compute, "encode": delay_encode}


@pytest.mark.parametrize(("scheme", "slow"), [*(("http", phase) for phase in PHASES), ("grpc", "compute")])
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
    medians = {name: float(np.median(values)) / 1e9 for name, values in phases_of(moments).items()}
    assert medians[slow] >= DELAY_S * 0.95
    assert max((value, name) for name, value in medians.items())[1] == slow
    assert sum(value for name, value in medians.items() if name != slow) < DELAY_S
