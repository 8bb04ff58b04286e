"""Certificates for tests, made by openssl: an authority, servers and clients of it, one that has expired."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, as PEM files."""

    cert: Path
    key: Path


@dataclass(frozen=True)
class Authority:
    """Signs certificates."""

    directory: Path
    own: Pair

    @classmethod
    def make(cls, directory: Path, name: str) -> "Authority":
        pair = Pair(directory / f"{name}.pem", directory / f"{name}.key")
        _openssl(
            "req", "-x509", *_NEW_KEY, "-keyout", pair.key, "-out", pair.cert, "-subj", f"/CN={name}", "-days", "2"
        )
        return cls(directory, pair)

    def sign(self, name: str, days: int = 2) -> Pair:
        """A certificate for localhost; a negative number of days has passed already."""
        stem = self.directory / f"{self.own.cert.stem}-{name}"
        pair, request, extension = (
            Pair(stem.with_suffix(".pem"), stem.with_suffix(".key")),
            stem.with_suffix(".csr"),
            stem,
        )
        extension.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1")
        _openssl("req", *_NEW_KEY, "-keyout", pair.key, "-out", request, "-subj", "/CN=localhost")
        signer = ("-CA", self.own.cert, "-CAkey", self.own.key, "-CAcreateserial", "-extfile", extension)
        _openssl("x509", "-req", "-in", request, *signer, "-out", pair.cert, "-days", str(days))
        return pair


_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def _openssl(*words: object) -> None:
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)


def write_ssl_config(file: Path, pair: Pair, ca: Path | None = None, *, verify: bool = False) -> Path:
    """An --ssl_config_file, which appears by rename."""
    fields = {"server_key": pair.key.read_text(), "server_cert": pair.cert.read_text()}
    if ca is not None:
        fields["custom_ca"] = ca.read_text()
    lines = [f"{name}: {json.dumps(value)}" for name, value in fields.items()]
    beside = file.with_suffix(".new")
    beside.write_text("\n".join([*lines, f"client_verify: {str(verify).lower()}"]))
    beside.rename(file)
    return file
