"""Connections that answer short calls themselves are taken where they work, and uvicorn's own where they do not."""

import json
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.serving.running import running
from toolkit.serving import rest_check
from toolkit.serving.paces import Paces
from toolkit.serving.rest_calls import RestCalls
from toolkit.serving.rest_protocol import DirectProtocol
from toolkit.serving.rest_short import ShortCalls

PATH = "/v1/models/double:predict"
BODY = b'{"instances": [[1.0, 2.0]]}'
NO_CALLS: Any = None


@pytest.fixture(autouse=True)
def asked_anew() -> Iterator[None]:
    """What was found for another test does not count."""
    rest_check.self_check.cache_clear()
    yield
    rest_check.self_check.cache_clear()


def test_they_work_with_the_uvicorn_that_is_locked() -> None:
    assert rest_check.self_check() is None
    taken = rest_check.protocol_of(ShortCalls(NO_CALLS, Paces()))
    assert isinstance(taken, partial)
    assert taken.func is DirectProtocol


def raises(*_: Any, **__: Any) -> None:
    raise AttributeError("no such thing in this uvicorn")


def ignores(*_: Any) -> None:
    """A method that another uvicorn calls by another name."""


def plainly(*_: Any) -> bool:
    return False


@pytest.mark.parametrize(
    ("broken", "instead", "said"),
    [
        ("__init__", raises, "no such thing"),
        ("on_headers_complete", raises, ""),
        ("on_message_complete", raises, ""),
        ("answer", raises, "no such thing"),
        ("_hand_over", ignores, ""),
        ("on_message_complete", ignores, "no answer"),
        ("_plain", plainly, "came back as"),
        ("shutdown", ignores, "no answer"),
    ],
)
def test_a_server_answers_through_asgi_where_they_are_broken(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    broken: str,
    instead: Any,
    said: str,
) -> None:
    monkeypatch.setattr(DirectProtocol, broken, instead)
    monkeypatch.setattr(rest_check, "_CHECK_TIMEOUT_S", 0.5)
    grouped: list[int] = []
    answer = RestCalls.answer_together

    def counted(calls: RestCalls, many: Any) -> Any:
        grouped.extend([1] * (not isinstance(many, tuple)))  # the pool asks for one
        return answer(calls, many)

    monkeypatch.setattr(RestCalls, "answer_together", counted)
    with running(tmp_path, transport="public") as server:
        for _ in range(3):
            page = server.post(PATH, BODY)
            assert (page.status, json.loads(page.body)) == (200, {"predictions": [[2.0, 4.0]]})
    assert grouped == []
    assert "the longer way through ASGI" in caplog.text
    assert said in caplog.text


def test_a_check_that_never_ends_does_not_keep_the_server_from_starting(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(rest_check, "_check", lambda _: over.wait(10))
    monkeypatch.setattr(rest_check, "_CHECK_TIMEOUT_S", 0.05)
    assert rest_check.protocol_of(ShortCalls(NO_CALLS, Paces())) == "auto"
    over.set()
