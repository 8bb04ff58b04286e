"""REST: which call a method and a path are, what an error is answered with, and the same for a client."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import quote, unquote_to_bytes

from toolkit.errors import Fault, ServingError, ToolkitError, UnavailableError, WireError
from toolkit.wire.json_reader import read_json
from toolkit.wire.json_writer import encode_text
from toolkit.wire.json_writer import quote as json_quote
from toolkit.wire.messages import Target
from toolkit.wire.wording import SilentError

HTTP_STATUS: Mapping[Fault, int] = MappingProxyType(
    {
        Fault.INVALID: 400,
        Fault.PRECONDITION: 400,
        Fault.OUT_OF_RANGE: 400,
        Fault.UNAUTHENTICATED: 401,
        Fault.PERMISSION: 403,
        Fault.NOT_FOUND: 404,
        Fault.ALREADY_EXISTS: 409,
        Fault.ABORTED: 409,
        Fault.EXHAUSTED: 429,
        Fault.CANCELLED: 499,
        Fault.UNKNOWN: 500,
        Fault.INTERNAL: 500,
        Fault.DATA_LOSS: 500,
        Fault.UNIMPLEMENTED: 501,
        Fault.UNAVAILABLE: 503,
        Fault.DEADLINE: 504,
    }
)
# Several faults share a status; a client takes the one that is meant most often.
_FAULT_OF_STATUS: Mapping[int, Fault] = MappingProxyType(
    {status: fault for fault, status in HTTP_STATUS.items()}
    | {400: Fault.INVALID, 409: Fault.ABORTED, 500: Fault.INTERNAL}
)
JSON = "application/json"
HTML = "text/html"
PLAIN = "text/plain"
_NO_TYPE = "text/html; charset=ISO-8859-1"
CORS_HEADERS = (
    ("Access-Control-Allow-Origin", "*"),
    ("Access-Control-Allow-Methods", "POST, GET"),
    ("Access-Control-Allow-Headers", "Content-Type"),
)

_MODEL = r"(?i:/v1/models)"
_CHOICE = r"(?:(?i:/versions/)([0-9]+)|(?i:/labels/)([^/:]+))?"
_CALL_PATH = re.compile(rf"{_MODEL}/([^/:]+){_CHOICE}:(?i:(classify|regress|predict))")
_MODEL_PATH = re.compile(rf"{_MODEL}(?:/([^/:]+))?{_CHOICE}(?:/(?i:(metadata)))?")
_SERVED = re.compile(r"(?i:/v1/).*", re.DOTALL)
_SIGN = r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/]|%[0-9A-Fa-f]{2})"
_URI = re.compile(
    rf"(?:[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*)?(?P<path>/?{_SIGN}*(?:\?(?:{_SIGN}|\?)*)?(?:\#(?:{_SIGN}|\?)*)?)"
)
# What libevent lets through; any other word is no method to it.
_METHODS = frozenset({"GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"})
_PROTOCOL = re.compile(rb"HTTP/[01]\.[0-9]+")
_ORIGIN = re.compile(r"https?://")
_MAX_VERSION = 2**63 - 1


class Call(Enum):
    """What a REST request asks for."""

    PREDICT = "predict"
    CLASSIFY = "classify"
    REGRESS = "regress"
    STATUS = "status"
    METADATA = "metadata"


_POSTED: Mapping[str, Call] = MappingProxyType(
    {call.value: call for call in (Call.PREDICT, Call.CLASSIFY, Call.REGRESS)}
)


@dataclass(frozen=True, slots=True)
class RestCall:
    """One request's call and target; the signature stands in the body."""

    call: Call
    target: Target


class Answer(NamedTuple):
    """What goes back: status, body and its type.

    Args:
        served: whether the API answered, which is when CORS headers are added, rather than the HTTP server in front.
    """

    status: int
    body: bytes
    content_type: str = JSON
    served: bool = True


def route(method: str, uri: str, origin: str = "") -> RestCall | Answer:
    """The call that a method and a URI are, or the answer where they are none.

    Args:
        method: the HTTP method.
        uri: what was asked for, as it was sent: still escaped, with its query and its fragment.
        origin: the Origin header, which a preflight request needs.

    Raises:
        WireError: the path is one of ours and makes no call; in the server's words.
    """
    if method not in _METHODS:
        return _page(501, "Not Implemented")
    match = _URI.fullmatch(uri)
    if match is None:
        return _page(400, "Bad Request")
    path = match["path"] or "/"
    if not _SERVED.fullmatch(path):
        return _page(404, "Not Found")
    if method == "OPTIONS":
        return Answer(200 if _ORIGIN.search(origin) else 400, b"", _NO_TYPE)
    return _call(method, path)


def unreadable(received: bytes) -> Answer:
    """The answer to bytes that no HTTP parser takes for a request."""
    line, ended, _ = received.partition(b"\n")
    method, _, rest = line.rstrip(b"\r ").partition(b" ")
    protocol = rest.rpartition(b" ")[2]
    if ended and method.decode("latin-1") not in _METHODS and _PROTOCOL.fullmatch(protocol):
        return _page(501, "Not Implemented")
    return _page(400, "Bad Request")


def metrics_refusal(method: str, uri: str, path: str) -> Answer | None:
    """The answer at the path of the metrics page where more than that path was asked for; None where that is all."""
    match = _URI.fullmatch(uri)
    if match is None or method not in _METHODS:
        answer = route(method, uri)
        return answer if isinstance(answer, Answer) else None
    if match["path"] == path:
        return None
    text = f"Unexpected path: {match['path']}. Should be {path}"
    return Answer(400, text.encode("latin-1"), PLAIN, served=False)


def _page(status: int, title: str) -> Answer:
    page = f"<HTML><HEAD>\n<TITLE>{status} {title}</TITLE>\n</HEAD><BODY>\n<H1>{title}</H1>\n</BODY></HTML>\n"
    return Answer(status, page.encode(), HTML, served=False)


def _call(method: str, path: str) -> RestCall:
    pattern = {"POST": _CALL_PATH, "GET": _MODEL_PATH}.get(method)
    match = pattern.fullmatch(path) if pattern else None
    if match is None:
        raise _malformed(method, path)
    name, version, label, word = match.groups()
    target = Target(_unescape(name or ""), _version(version), None if label is None else _unescape(label))
    if method == "POST":
        # The path may be written in any case, but the method's name is then compared as it is.
        if word not in _POSTED:
            raise _malformed(method, path)
        return RestCall(_POSTED[word], target)
    if not target.model:
        raise WireError("Missing model name in request.", hint="ask for /v1/models/NAME")
    return RestCall(Call.METADATA if word == "metadata" else Call.STATUS, target)


def _malformed(method: str, path: str) -> WireError:
    return WireError(
        f"Malformed request: {method} {path}",
        hint="POST /v1/models/NAME[/versions/N|/labels/L]:predict, GET /v1/models/NAME[/metadata]",
    )


def _unescape(text: str) -> str:
    return unquote_to_bytes(text).decode("utf-8", "surrogateescape")


def _version(text: str | None) -> int | None:
    if text is None:
        return None
    if len(text.lstrip("0")) > len(str(_MAX_VERSION)) or int(text.lstrip("0") or 0) > _MAX_VERSION:
        raise SilentError(f"Failed to convert version: {text} to numeric.", hint="versions are below 2^63")
    return int(text.lstrip("0") or 0)


def error_answer(error: ToolkitError) -> Answer:
    """What a client is sent for an error."""
    if isinstance(error, SilentError):
        return Answer(HTTP_STATUS[error.fault], b"")
    return refusal(HTTP_STATUS[error.fault], error.message)


def refusal(status: int, message: str) -> Answer:
    """An error that only HTTP has a status for, as in 413."""
    return Answer(status, encode_text(f'{{\n    "error": {json_quote(message)}\n}}'))


def error_of(status: int, body: bytes) -> ToolkitError:
    """The error behind an answer that a client was sent."""
    message = _error_text(body) or f"the server answered {status}"
    fault = _FAULT_OF_STATUS.get(status, Fault.UNKNOWN)
    if fault is Fault.UNAVAILABLE:
        return UnavailableError(message, hint="try again, or ask for the model's status")
    return ServingError(message, hint="ask for the model's status and metadata", fault=fault)


def _error_text(body: bytes) -> str:
    try:
        value: Any = read_json(body)
    except WireError:
        return ""
    text = value.get("error") if isinstance(value, dict) else None
    return text if isinstance(text, str) else ""


def path_of(call: Call, target: Target) -> str:
    """The path that asks for a call."""
    choice = ""
    if target.version is not None:
        choice = f"/versions/{target.version}"
    elif target.label is not None:
        choice = f"/labels/{_escape(target.label)}"
    ending = {Call.STATUS: "", Call.METADATA: "/metadata"}.get(call, f":{call.value}")
    return f"/v1/models/{_escape(target.model)}{choice}{ending}"


def _escape(text: str) -> str:
    return quote(text.encode("utf-8", "surrogateescape"), safe="")


def method_of(call: Call) -> str:
    """The HTTP method that asks for a call."""
    return "POST" if call.value in _POSTED else "GET"
