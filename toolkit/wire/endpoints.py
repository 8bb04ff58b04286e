"""A URL of a served model to the endpoint that listens and the target behind it, and back."""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote, unquote

from toolkit.errors import UsageError
from toolkit.wire.messages import Endpoint, Protocol, Target

_SCHEMES = {
    "grpc": (Protocol.GRPC, False),
    "grpcs": (Protocol.GRPC, True),
    "http": (Protocol.REST, False),
    "https": (Protocol.REST, True),
}
_URL = re.compile(
    r"(?P<scheme>[a-z]+)://(?P<address>\[[0-9A-Fa-f:.]+\]:[0-9]{1,5}|[^/:\[\]]+:[0-9]{1,5})(?P<path>/.*)?"
)
_PATH = re.compile(
    r"/(?P<model>[^/:]+)(?:/versions/(?P<version>[0-9]{1,18})|/labels/(?P<label>[^/:]+))?(?::(?P<signature>[^/]+))?"
)
# gRPC's own way to write the address of a UNIX socket.
UNIX = "unix:"
_UNIX_URL = re.compile(r"unix://(?P<socket>/.+?)(?P<path>/[^/:]+(?:/versions/[0-9]{1,18}|/labels/[^/:]+)?(?::[^/]+)?)")
_API = "/v1/models"
_HINT = (
    "write grpc://HOST:PORT/MODEL[/versions/N|/labels/L][:SIGNATURE], or http:// likewise, or unix:///SOCKET/MODEL; "
    "grpcs and https use TLS"
)


@dataclass(frozen=True, slots=True)
class Remote:
    """One signature of one model at an endpoint."""

    endpoint: Endpoint
    target: Target


@dataclass(frozen=True, slots=True)
class Reach:
    """How to reach an endpoint, beyond its URL: TLS files, and the largest message; as the command line's options."""

    tls_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    max_message_mb: float | None = None

    def apply(self, remote: Remote) -> Remote:
        """The remote, reached this way; a TLS file asks for TLS whatever the scheme."""
        limit = remote.endpoint.max_message_bytes if self.max_message_mb is None else int(self.max_message_mb * 1e6)
        tls = remote.endpoint.tls or any((self.tls_ca, self.tls_cert, self.tls_key))
        endpoint = replace(
            remote.endpoint,
            tls=tls,
            tls_ca=self.tls_ca,
            tls_cert=self.tls_cert,
            tls_key=self.tls_key,
            max_message_bytes=limit,
        )
        return replace(remote, endpoint=endpoint)


def is_url(text: str) -> bool:
    """Whether a reference means a server rather than a file or a name."""
    scheme, mark, _ = text.partition("://")
    return bool(mark) and (scheme in _SCHEMES or f"{scheme}:" == UNIX)


def parse_url(text: str) -> Remote:
    """The endpoint and target of a URL; a pasted REST path with /v1/models and :predict means the same.

    Raises:
        UsageError: it is no such URL.
    """
    socket = _UNIX_URL.fullmatch(text)
    if socket is not None:
        return Remote(Endpoint(f"{UNIX}{socket['socket']}", Protocol.GRPC), _target(socket["path"], text))
    url = _URL.fullmatch(text)
    if url is None or url["scheme"] not in _SCHEMES or int(url["address"].rpartition(":")[2]) > 65535:
        raise UsageError(f"'{text}' is no server's URL", hint=_HINT)
    path = url["path"] or ""
    if path.startswith(f"{_API}/"):
        path = path.removeprefix(_API).removesuffix(":predict")
    protocol, tls = _SCHEMES[url["scheme"]]
    return Remote(Endpoint(url["address"], protocol, tls=tls), _target(path, text))


def _target(path: str, url: str) -> Target:
    found = _PATH.fullmatch(path)
    if found is None:
        raise UsageError(f"'{url}' does not say which model to ask", hint=_HINT)
    version, label = found["version"], found["label"]
    return Target(
        unquote(found["model"]),
        None if version is None else int(version),
        None if label is None else unquote(label),
        unquote(found["signature"] or ""),
    )


def url_of(remote: Remote) -> str:
    """The URL that means an endpoint and a target."""
    endpoint, target = remote.endpoint, remote.target
    scheme = next(name for name, meant in _SCHEMES.items() if meant == (endpoint.protocol, endpoint.tls))
    choice = ""
    if target.version is not None:
        choice = f"/versions/{target.version}"
    elif target.label is not None:
        choice = f"/labels/{quote(target.label, safe='')}"
    signature = f":{quote(target.signature, safe='')}" if target.signature else ""
    place = (
        f"unix://{endpoint.address.removeprefix(UNIX)}"
        if endpoint.address.startswith(UNIX)
        else f"{scheme}://{endpoint.address}"
    )
    return f"{place}/{quote(target.model, safe='')}{choice}{signature}"
