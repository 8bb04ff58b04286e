"""A whole server around a model without TensorFlow, which a test can hold; and plain clients for it."""

import http.client
import threading
import time
from collections.abc import Container, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from toolkit.core.tensors import Feed, Outputs, Signature, TensorSpec
from toolkit.serving.host import Host
from toolkit.serving.servables import Able
from toolkit.serving.settings import settings_of
from toolkit.wire import rpc
from toolkit.wire.messages import ModelConfig, PredictRequest, Target
from toolkit.wire.settings import BatchingParameters
from toolkit.wire.signatures import ServedSignature, write_signature

PATIENCE_S = 30.0
SPEC = TensorSpec("float32", (None, 2))
SIGNATURES = {"serving_default": write_signature("serving_default", Signature({"x": SPEC}, {"y": SPEC}))}
TARGET = Target("double")


@dataclass(eq=False)
class HeldModel:
    """Doubles its input, once it is let; counts who has come in."""

    artifact: str = "held"
    signatures: Mapping[str, ServedSignature] = field(default_factory=lambda: SIGNATURES)
    batching: BatchingParameters | None = None
    rows_alone: Container[str] = ()
    computes: bool = False
    gate: threading.Event = field(default_factory=threading.Event)
    inside: int = 0
    most_inside: int = 0
    runs: int = 0
    changed: threading.Condition = field(default_factory=threading.Condition)

    def __call__(self, name: str, version: int, directory: Path) -> "HeldModel":
        """Loads itself."""
        return self

    def able(self, signature: str, feed: Feed) -> Sequence[Able]:
        return (Able(self.artifact, partial(self.run, signature), self.computes, self.computes),)

    def run(self, signature: str, feed: Feed) -> Outputs:
        with self.changed:
            self.inside += 1
            self.runs += 1
            self.most_inside = max(self.most_inside, self.inside)
            self.changed.notify_all()
        try:
            assert self.gate.wait(PATIENCE_S)
            return {"y": np.asarray(feed["x"]) * np.float32(2)}
        finally:
            with self.changed:
                self.inside -= 1
                self.changed.notify_all()

    def wait_for(self, inside: int) -> None:
        """Until so many requests are in it."""
        with self.changed:
            assert self.changed.wait_for(lambda: self.inside == inside, PATIENCE_S)

    def close(self) -> None:
        self.gate.set()


@dataclass(frozen=True)
class Running:
    """A server, its model, and its ports."""

    host: Host
    model: HeldModel
    grpc_port: int
    rest_port: int

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.grpc_port}"

    def wait_for_held(self, count: int) -> None:
        """Until so many requests are in the server, whether they run or wait."""
        event, until = threading.Event(), time.monotonic() + PATIENCE_S
        while self.host.held() != count:
            assert time.monotonic() < until
            event.wait(0.002)

    def wait_until_draining(self) -> None:
        """Until the server has begun to take nothing new."""
        event, until = threading.Event(), time.monotonic() + PATIENCE_S
        while self.host.is_ready():
            assert time.monotonic() < until
            event.wait(0.002)

    def get(self, path: str) -> "Page":
        return request(self.rest_port, "GET", path)

    def post(self, path: str, body: bytes, headers: Mapping[str, str] | None = None) -> "Page":
        return request(self.rest_port, "POST", path, body, headers)


@dataclass(frozen=True)
class Page:
    """What HTTP answered."""

    status: int
    body: bytes
    headers: Mapping[str, str]


@contextmanager
def running(directory: Path, *, held: bool = False, model: HeldModel | None = None, **flags: Any) -> Iterator[Running]:
    """A server of the model `double`."""
    base = directory / "double"
    (base / "1").mkdir(parents=True, exist_ok=True)
    model = model or HeldModel()
    if not held:
        model.gate.set()
    given = {"port": 0, "rest_api_port": 0} | flags
    settings = replace(settings_of(given, [ModelConfig("double", str(base))]), loader=model)
    host = Host(settings)
    ready = host.start()
    try:
        yield Running(host, model, ready.grpc_port or 0, ready.rest_api_port or 0)
    finally:
        model.gate.set()
        host.stop()


def predict_body(rows: int = 1) -> bytes:
    return rpc.encode_predict_request(PredictRequest(TARGET, {"x": np.ones((rows, 2), np.float32)}))


def predict(channel: grpc.Channel, rows: int = 1, timeout_s: float = PATIENCE_S) -> tuple[Outputs, dict[str, str]]:
    """The outputs and the trailing metadata."""
    body, call = channel.unary_unary(rpc.PREDICT).with_call(predict_body(rows), timeout=timeout_s)
    return rpc.decode_predict_response(body).outputs, dict(call.trailing_metadata())


def request(
    port: int, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> Page:
    """One HTTP request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        connection.request(method, path, body, dict(headers or {}))
        answer = connection.getresponse()
        return Page(answer.status, answer.read(), {name.lower(): value for name, value in answer.getheaders()})
    finally:
        connection.close()


@contextmanager
def at_once(count: int, ask: Any) -> Iterator[Sequence["Future[Any]"]]:
    """So many requests at the same time."""
    with ThreadPoolExecutor(count) as pool:
        yield [pool.submit(ask) for _ in range(count)]
