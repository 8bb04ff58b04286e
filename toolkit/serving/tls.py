"""Reads --ssl_config_file, again whenever it changes, and makes Python's TLS contexts of it."""

import logging
import os
import ssl
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

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
        except (ToolkitError, OSError, ssl.SSLError, ValueError) as error:
            if self._config is None:
                raise UsageError(
                    f"--ssl_config_file {self.path} is not usable: {error}",
                    hint='write server_key: "…" server_cert: "…" as PEM; for mutual TLS custom_ca and client_verify',
                ) from error
            if stamp != self._told:
                log.warning("%s was replaced by what is not usable, the old certificate goes on: %s", self.path, error)
            self._told = stamp
            return self._config
        self._config, self._stamp = config, stamp
        return config

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
    front = context_of(tls.current())
    made = {"config": tls.current(), "context": front}

    def choose(connection: ssl.SSLSocket | ssl.SSLObject, _: str | None, __: ssl.SSLContext) -> None:
        config = tls.current()
        if config is not made["config"]:
            made["config"], made["context"] = config, context_of(config)
        connection.context = made["context"]  # type: ignore[assignment]

    front.sni_callback = choose
    return front
