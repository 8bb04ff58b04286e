"""Reads --ssl_config_file, again whenever it changes, and makes Python's TLS contexts of it."""

import logging
import os
import ssl
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from toolkit.errors import ToolkitError, UsageError
from toolkit.wire.settings import TlsConfig, read_tls

log = logging.getLogger(__name__)
_Stamp = tuple[int, int, int]


@dataclass
class TlsFile:
    """The key, certificate and CA in a file that may be replaced while the server runs."""

    path: Path
    _stamp: _Stamp | None = None
    _config: TlsConfig | None = None
    _told: _Stamp | None = field(default=None)

    def current(self) -> TlsConfig:
        """What the file says; a replacement that is none is logged, and what was good goes on.

        Raises:
            UsageError: the very first reading finds no usable key and certificate.
        """
        stamp = self._look()
        if self._config is not None and stamp == self._stamp:
            return self._config
        try:
            config = read_tls(self._text())
            context_of(config)
            self._check(config)
        except (ToolkitError, OSError, ssl.SSLError, ValueError) as error:
            if self._config is None:
                raise UsageError(
                    f"--ssl_config_file {self.path} is not usable: {error}",
                    hint='write server_key: "…" server_cert: "…" as PEM; for mutual TLS custom_ca and client_verify',
                ) from error
            if stamp != self._told:
                # Without a traceback: it is a file that is wrong.
                log.error("%s was replaced by what is not usable, the old one goes on: %s", self.path, error)  # noqa: TRY400
            self._told = stamp
            return self._config
        self._config, self._stamp = config, stamp
        return config

    def _check(self, config: TlsConfig) -> None:
        # gRPC decides once, when it opens its port, whether clients need a certificate. Taking the rest of such a file
        # would look as if it were enforced.
        if self._config is not None and config.client_verify != self._config.client_verify:
            raise UsageError(
                f"client_verify: {str(config.client_verify).lower()} is taken up by a restart only", hint="restart it"
            )

    def _look(self) -> _Stamp | None:
        try:
            found = self.path.stat()
        except OSError:
            return None
        return (found.st_mtime_ns, found.st_size, found.st_ino)

    def _text(self) -> str:
        return self.path.read_text(encoding="utf-8")


def context_of(config: TlsConfig) -> ssl.SSLContext:
    """A server's TLS context.

    Raises:
        OSError: key and certificate are no pair, or no PEM.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    with tempfile.TemporaryDirectory() as private:
        # Python reads a key only from a file; this folder is ours alone and gone at once.
        pair = Path(private) / "pair.pem"
        pair.touch(mode=0o600)
        pair.write_text(f"{config.server_key}\n{config.server_cert}\n", encoding="utf-8")
        context.load_cert_chain(os.fspath(pair))
    if config.custom_ca:
        context.load_verify_locations(cadata=config.custom_ca)
    if config.client_verify:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def live_context(tls: TlsFile) -> ssl.SSLContext:
    """A context whose every handshake takes the file as it is then."""
    return _LiveContext(tls)


class _LiveContext(ssl.SSLContext):
    """Hands every connection to a context of what the file says.

    A connection that changes its context in the midst of the handshake (sni_callback) keeps what the first one said of
    client certificates, and resumes sessions that the first one's authority vouched for.
    """

    def __new__(cls, tls: TlsFile) -> "_LiveContext":
        """A context for servers."""
        return super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)

    def __init__(self, tls: TlsFile) -> None:
        self._tls, self._config = tls, tls.current()
        self._made = context_of(self._config)

    def wrap_bio(self, *args: Any, **options: Any) -> ssl.SSLObject:
        """What a connection speaks through; asyncio and uvloop make all of theirs with it."""
        config = self._tls.current()
        if config is not self._config:
            self._config, self._made = config, context_of(config)
        return self._made.wrap_bio(*args, **options)
