"""The body of a request over HTTP: read to its end, unpacked, and refused where it is too large."""

import zlib
from collections.abc import Awaitable, Callable
from typing import Any

from toolkit.wire import rest

Receive = Callable[[], Awaitable[dict[str, Any]]]


class RefusedError(Exception):
    """A request whose body is not read to its end."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.answer = rest.refusal(status, message)


READ_HEADERS = frozenset({b"origin", b"content-encoding", b"content-length"})


async def read_body(receive: Receive, headers: dict[bytes, bytes], limit: int) -> bytes:
    """The body of a request, unpacked; empty where it is not what its encoding says, as in the real server.

    Raises:
        RefusedError: it is larger than the limit.
    """
    announced = headers.get(b"content-length", b"")
    if announced.isdigit() and int(announced) > limit:
        raise _too_large(limit)
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            raise _too_large(limit)
        more = message.get("more_body", False)
    body = parts[0] if len(parts) == 1 else b"".join(parts)
    # The real server looks for the word anywhere in it, in small letters.
    return _unzipped(body, limit) if b"gzip" in headers.get(b"content-encoding", b"") else body


def _unzipped(body: bytes, limit: int) -> bytes:
    """The content of one gzip member, or of several behind each other (RFC 1952, 2.2); nothing where they are none."""
    parts, left = [], limit
    while body:
        unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
        try:
            parts.append(unpacker.decompress(body, left + 1))
        except zlib.error:
            return b""
        left -= len(parts[-1])
        if left < 0:
            raise _too_large(limit)
        if not unpacker.eof:
            return b""
        body = unpacker.unused_data
    return b"".join(parts)


def _too_large(limit: int) -> RefusedError:
    return RefusedError(413, f"The request is larger than {limit} bytes (--max-message-mb)")
