"""What a server says while its models load, when one of them cannot, and while a second one wants its port."""

import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from tests.serving.fakes import states, watch
from tests.serving.running import PATIENCE_S, HeldModel, Running, request
from toolkit.errors import Fault, ServingError, UnavailableError
from toolkit.serving import http_server
from toolkit.serving.host import Host, Ready
from toolkit.serving.http_server import RestListening, RestServer
from toolkit.serving.metrics import Metrics
from toolkit.serving.rest_calls import RestCalls
from toolkit.serving.settings import Settings, settings_of
from toolkit.serving.transport import Capacity
from toolkit.wire.messages import ModelConfig, ReloadRequest

PATH, BODY = "/v1/models/good:predict", b'{"instances": [[1.0, 2.0]]}'


@dataclass
class Loader:
    """Loads a model that answers, once it is let; one that is called `bad` never, and `prompt` without being let."""

    model: HeldModel = field(default_factory=HeldModel)
    began: threading.Event = field(default_factory=threading.Event)
    gate: threading.Event = field(default_factory=threading.Event)

    def __call__(self, name: str, version: int, directory: Path) -> HeldModel:
        if name == "prompt":
            return self.model
        self.began.set()
        assert self.gate.wait(PATIENCE_S)
        if name == "bad":
            raise ServingError("it does not load", fault=Fault.UNAVAILABLE)
        self.model.gate.set()
        return self.model


@pytest.fixture
def load() -> Iterator[Loader]:
    """A loader that waits for nothing once the test is over."""
    made = Loader()
    yield made
    made.gate.set()


def free(root: Path, load: Loader, *names: str, **flags: Any) -> Settings:
    """Settings of these models, on free ports."""
    for name in names:
        (root / name / "1").mkdir(parents=True, exist_ok=True)
    given = {"port": 0, "rest_api_port": 0, "max_num_load_retries": 0} | flags
    return replace(settings_of(given, [ModelConfig(name, str(root / name)) for name in names]), loader=load)


@contextmanager
def starting(settings: Settings, load: Loader) -> Iterator[tuple[Host, "Future[Ready]"]]:
    """A server whose first model is being loaded."""
    host = Host(settings)
    with ThreadPoolExecutor(1) as pool, ExitStack() as ending:
        ending.callback(lambda: host.stop(0.0))
        ending.callback(load.gate.set)  # before that
        started = pool.submit(host.start)
        assert load.began.wait(PATIENCE_S)
        yield host, started


def test_while_models_load_it_is_alive_and_not_ready_and_a_request_waits(tmp_path: Path, load: Loader) -> None:
    with starting(free(tmp_path, load, "good"), load) as (host, started), ThreadPoolExecutor(1) as pool:
        port = host.ready().rest_api_port
        assert port is not None
        assert (request(port, "GET", "/healthz").status, request(port, "GET", "/readyz").status) == (200, 503)
        asked = pool.submit(request, port, "POST", PATH, BODY)
        assert request(port, "GET", "/readyz").status == 503
        assert not asked.done()
        load.gate.set()
        assert started.result().rest_api_port == port
        answer = asked.result()
        assert (answer.status, json.loads(answer.body)) == (200, {"predictions": [[2.0, 4.0]]})
        assert request(port, "GET", "/readyz").status == 200


def test_one_model_that_answers_is_not_ready_while_another_was_not_tried(tmp_path: Path, load: Loader) -> None:
    with starting(free(tmp_path, load, "prompt", "good"), load) as (host, started):
        port = host.ready().rest_api_port
        assert port is not None
        watch(host.library, lambda: states(host.library, "prompt") == {1: "AVAILABLE"}, "prompt")
        assert request(port, "GET", "/readyz").status == 503
        load.gate.set()
        started.result()
        assert request(port, "GET", "/readyz").status == 200


def test_who_waits_for_a_start_that_fails_is_told_so(tmp_path: Path, load: Loader) -> None:
    with starting(free(tmp_path, load, "bad", strict_start=True), load) as (host, started):
        port = host.ready().rest_api_port
        assert port is not None
        with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as client:
            client.sendall(b"GET /v1/models/bad HTTP/1.1\r\nHost: a\r\n\r\n")
            # Answered on the loop that has by then read what was sent before.
            assert request(port, "GET", "/healthz").status == 200
            load.gate.set()
            got = b"".join(iter(lambda: client.recv(65536), b""))
        assert got.startswith(b"HTTP/1.1 503 ")
        assert b"connection: close" in got
        assert b"the server stops" in got
        assert isinstance(started.exception(), ServingError)


@pytest.mark.parametrize(("names", "status"), [(("good", "bad"), 200), (("bad",), 503), ((), 200)])
def test_one_model_that_cannot_load_keeps_no_other_from_its_requests(
    names: tuple[str, ...], status: int, tmp_path: Path, load: Loader
) -> None:
    load.gate.set()
    with Host(free(tmp_path, load, *names)) as host:
        server = Running(host, load.model, 0, host.ready().rest_api_port or 0)
        assert server.get("/readyz").status == status
        if "good" in names:
            assert server.post(PATH, BODY).status == 200


def test_a_model_that_a_reload_adds_takes_no_server_away_from_the_others(tmp_path: Path, load: Loader) -> None:
    load.gate.set()
    settings = free(tmp_path, load, "good")
    with Host(settings) as host, ThreadPoolExecutor(1) as pool:
        port = host.ready().rest_api_port
        assert port is not None
        load.gate.clear()
        load.began.clear()
        wanted = (*settings.models, ModelConfig("more", str(tmp_path / "more")))
        (tmp_path / "more" / "1").mkdir(parents=True)
        reload = pool.submit(host.engine.reload, ReloadRequest(wanted), timeout_s=PATIENCE_S)
        assert load.began.wait(PATIENCE_S)
        assert request(port, "GET", "/readyz").status == 200
        load.gate.set()
        reload.result()


def test_a_second_server_on_a_port_hears_so_before_it_loads_anything(tmp_path: Path, load: Loader) -> None:
    with starting(free(tmp_path, load, "good"), load) as (first, _):
        port = first.ready().rest_api_port
        late = Loader()
        with pytest.raises(UnavailableError, match=f"cannot listen on 127.0.0.1:{port}"):
            Host(free(tmp_path, late, "good", rest_api_port=port)).start()
        assert not late.began.is_set()


def test_a_thread_that_never_comes_back_does_not_hold_the_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(http_server, "_ENDING_S", 0.0)
    no_engine: Any = None
    inside, gate = threading.Event(), threading.Event()

    def ready() -> bool:
        inside.set()
        return gate.wait(PATIENCE_S)

    server = RestServer(RestCalls(no_engine, Metrics()), RestListening(port=0, linger_s=0.0), Capacity(1), ready)
    server.start()
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(request, server.port, "GET", "/readyz")
        assert inside.wait(PATIENCE_S)
        server.stop(0.0)
        assert server._thread.is_alive()
        gate.set()
        asked.exception()
    server._thread.join(PATIENCE_S)
    assert not server._thread.is_alive()
    assert "REST did not end in time" in caplog.text
