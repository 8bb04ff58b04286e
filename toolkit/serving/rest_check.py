"""Which connections REST gets: those that answer short Predicts themselves, where they work with this uvicorn."""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from functools import cache, partial
from typing import Any

import uvicorn
import uvloop
from uvicorn.server import ServerState

from toolkit.core.selfcheck import Say, fault_in_time
from toolkit.serving.paces import Paces
from toolkit.serving.rest_calls import Asked
from toolkit.serving.rest_short import ShortCalls
from toolkit.wire.rest import Answer

log = logging.getLogger(__name__)
_CHECK_TIMEOUT_S = 5.0
_PATH = "/v1/models/check:predict"
_ASGI, _DIRECT = b"through ASGI", b"where it arrived"
_END = "\r\n"


def protocol_of(short: ShortCalls) -> Any:
    """What uvicorn makes for a connection; its own, with a word about it, where ours does not work here."""
    fault = self_check()
    if fault is None:
        from toolkit.serving.rest_protocol import DirectProtocol

        return partial(DirectProtocol, short=short)
    log.warning(
        "short REST calls cannot be answered where they arrive with uvicorn %s (%s): all take the longer way "
        "through ASGI",
        uvicorn.__version__,
        fault,
    )
    return "auto"


@cache
def self_check() -> str | None:
    """What is wrong with the direct connections on this machine; None where answers come back as they should."""
    # It overrides what is not uvicorn's public interface: a loop that never ends is one of the ways to fail. And who
    # starts a server may be in a loop of its own.
    return fault_in_time(_check, 2 * _CHECK_TIMEOUT_S, "rest-check")


def _check(say: Say) -> None:
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            say(runner.run(_fault()))
    except TimeoutError:
        say(f"no answer in {_CHECK_TIMEOUT_S:.0f} s")


async def _fault() -> str | None:
    """Talks to one connection, and tells what it does wrong."""
    from toolkit.serving.rest_protocol import DirectProtocol

    short = ShortCalls(_Direct(), Paces(), linger_s=0.0)  # type: ignore[arg-type]  # all that is called of it
    config = uvicorn.Config(_asgi(short), ws="none", lifespan="off", log_config=None, access_log=False)
    config.load()
    loop, broken = asyncio.get_running_loop(), list[str]()
    loop.set_exception_handler(lambda _, told: broken.append(str(told.get("exception", told["message"]))))
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setblocking(False)
        make = partial(DirectProtocol, short=short, config=config, server_state=ServerState(), app_state={})
        transport, protocol = await loop.connect_accepted_socket(make, ours)
        try:
            async with asyncio.timeout(_CHECK_TIMEOUT_S):
                fault = await _talked(theirs, short, protocol)
        except TimeoutError:
            if not broken:
                raise
            fault = ""
        finally:
            transport.abort()
    return broken[0] if broken else fault


async def _talked(client: socket.socket, short: ShortCalls, protocol: Any) -> str | None:
    # The first of its kind takes the long way; so does what is no Predict, and what comes in one piece behind it.
    predict, status = ("POST", _PATH), ("GET", "/v1/models/check")
    # The third meets a head that is known by then.
    rounds = (((predict,), (_ASGI,)), ((predict,), (_DIRECT,)), ((predict,), (_DIRECT,)), ((status,), (_ASGI,)))
    together = ((predict, status, predict), (_DIRECT, _ASGI, _ASGI))
    for asked, wanted in (*rounds, together):
        found = await _answers(client, asked, len(wanted))
        if found != [b"200 " + body for body in wanted]:
            return f"{[' '.join(one) for one in asked]} came back as {found}"
    short.draining = True
    protocol.shutdown()
    left = await asyncio.get_running_loop().sock_recv(client, 1)
    return f"an idle connection goes on with {left!r}" if left else None


async def _answers(client: socket.socket, asked: Sequence[tuple[str, str]], count: int) -> list[bytes]:
    """The status and body of each answer; fewer where the connection was closed."""
    loop, found, answers = asyncio.get_running_loop(), b"", list[bytes]()
    lines = ((f"{method} {path} HTTP/1.1", "Host: check", "Content-Length: 2", "", "{}") for method, path in asked)
    await loop.sock_sendall(client, b"".join(_END.join(one).encode() for one in lines))
    while len(answers) < count:
        head, separator, rest = found.partition(b"\r\n\r\n")
        length = next((int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"content-length:")), 0)
        if separator and len(rest) >= length:
            answers.append(head.split()[1] + b" " + rest[:length])
            found = rest[length:]
            continue
        part = await loop.sock_recv(client, 1 << 16)
        if not part:
            break
        found += part
    return answers


class _Direct:
    """Answers what is answered where it arrives."""

    def answer_together(self, calls: Sequence[Asked]) -> list[Answer]:
        """The same for each."""
        return [Answer(200, _DIRECT, "text/plain") for _ in calls]


def _asgi(short: ShortCalls) -> Callable[..., Awaitable[None]]:
    """An application that answers all else, and says that it took no time."""

    async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
        body = (await receive())["body"]
        call = short.call_of(scope["raw_path"]) if scope["method"] == "POST" else None
        if call is not None:
            short.ran_pooled(call, body, 0)
        headers = [(b"content-length", str(len(_ASGI)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": _ASGI})

    return application
