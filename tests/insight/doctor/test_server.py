"""What doctor says of a given server: whether it answers, what of a model it has, and how old it is."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from toolkit.errors import ServingError, UnavailableError, UsageError
from toolkit.insight.doctor import server
from toolkit.insight.doctor.check import Check, State
from toolkit.insight.doctor.server import server_checks
from toolkit.wire.messages import ModelStatus, VersionStatus
from toolkit.wire.messages import State as VersionState

PAGES = {"/v1/models/mlp": "{}", "/monitoring/prometheus/metrics": '# HELP\ntfx_build_info{tensorflow="2.19.1"} 1.0\n'}


@contextmanager
def http(pages: dict[str, str]) -> Iterator[str]:
    """The address of a REST server that has these pages, as long as it lasts."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = pages.get(self.path)
            self.send_response(200 if page is not None else 404)
            self.end_headers()
            self.wfile.write((page or "{}").encode())

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{listening.server_port}"
        finally:
            listening.shutdown()
            thread.join()


def unanswered(*_: object) -> ModelStatus:
    raise UnavailableError("no gRPC")


def checks(monkeypatch: pytest.MonkeyPatch, ask: Callable[..., ModelStatus], address: str, **more: str) -> list[Check]:
    monkeypatch.setattr(server, "ask_status", ask)
    return list(server_checks(address, "2.21.0", **more))


@pytest.mark.parametrize(
    ("version", "state"), [("2.19.1", State.WARNING), ("2.21.0", State.OK), ("2.22.0", State.OK), (None, State.NOTE)]
)
def test_a_server_that_is_older_than_the_exporter(
    monkeypatch: pytest.MonkeyPatch, version: str | None, state: State
) -> None:
    metrics = f'tfx_build_info{{tensorflow="{version}"}} 1.0\n' if version else "other 1\n"
    with http({"/monitoring/prometheus/metrics": metrics}) as address:
        reached, skew = checks(monkeypatch, unanswered, address)
    assert (reached.state, reached.text) == (State.OK, "answers REST")
    assert (skew.name, skew.state) == ("version skew", state)


@pytest.mark.parametrize(("model", "state"), [("mlp", State.OK), ("other", State.WARNING)])
def test_whether_it_has_the_model(monkeypatch: pytest.MonkeyPatch, model: str, state: State) -> None:
    with http(PAGES) as address:
        assert checks(monkeypatch, unanswered, address, model=model)[0].state is state


def test_nobody_there(monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = checks(monkeypatch, unanswered, "127.0.0.1:1")
    assert found.state is State.MISSING


@pytest.mark.parametrize("address", ["nowhere", "127.0.0.1:port", ""])
def test_an_address_that_is_none(address: str) -> None:
    with pytest.raises(UsageError, match="is no address of a server"):
        list(server_checks(address, "2.21.0"))


def test_a_version_that_the_server_cannot_load(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = VersionStatus(3, VersionState.END, error_message="Op type not registered 'New'")
    found = checks(monkeypatch, lambda *_: ModelStatus((failed,)), "127.0.0.1:1", model="mlp")[0]
    assert (found.state, found.text) == (
        State.WARNING,
        "version 3 of mlp does not load: Op type not registered 'New'",
    )


def test_a_model_that_it_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(*_: object) -> ModelStatus:
        raise ServingError("Could not find any versions of model mlp")

    named, unnamed = (checks(monkeypatch, ask, "127.0.0.1:1", model=model)[0] for model in ("mlp", ""))
    assert (named.state, unnamed.state) == (State.WARNING, State.OK)
