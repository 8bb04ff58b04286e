"""TLS and mutual TLS of gRPC and REST: right, wrong and expired certificates, and new ones while it runs."""

import http.client
import json
import ssl
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from tests.serving.authority import Authority, Pair, write_ssl_config
from tests.serving.running import PATIENCE_S, Running, predict, running
from toolkit.errors import UsageError
from toolkit.serving.transport import TRANSPORTS

Ask = Callable[[Running, Authority, Pair | None], None]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("authority"), "trusted")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("stranger"), "stranger")


class RefusedError(Exception):
    """The connection was not to be had."""


def ask_grpc(server: Running, trusted: Authority, own: Pair | None) -> None:
    """One request over gRPC."""
    key, cert = (own.key.read_bytes(), own.cert.read_bytes()) if own else (None, None)
    credentials = grpc.ssl_channel_credentials(trusted.own.cert.read_bytes(), key, cert)
    with grpc.secure_channel(f"localhost:{server.grpc_port}", credentials) as channel:
        try:
            predict(channel, timeout_s=PATIENCE_S)
        except grpc.RpcError as error:
            raise RefusedError(error.code(), error.details()) from error


def ask_rest(server: Running, trusted: Authority, own: Pair | None) -> None:
    """One request over REST."""
    context = ssl.create_default_context(cafile=str(trusted.own.cert))
    if own:
        context.load_cert_chain(own.cert, own.key)
    connection = http.client.HTTPSConnection("127.0.0.1", server.rest_port, timeout=PATIENCE_S, context=context)
    try:
        connection.request("POST", "/v1/models/double:predict", b'{"instances": [[1.0, 2.0]]}')
        assert json.loads(connection.getresponse().read()) == {"predictions": [[2.0, 4.0]]}
    except OSError as error:
        raise RefusedError(str(error)) from error
    finally:
        connection.close()


WAYS = pytest.mark.parametrize(
    ("ask", "transport"), [(ask_grpc, transport) for transport in TRANSPORTS] + [(ask_rest, "public")]
)


@WAYS
def test_who_trusts_the_authority_is_served_and_who_trusts_another_is_not(
    ask: Ask, transport: str, authority: Authority, stranger: Authority, tmp_path: Path
) -> None:
    config = write_ssl_config(tmp_path / "ssl.config", authority.sign("server"))
    with running(tmp_path, transport=transport, ssl_config_file=str(config)) as server:
        ask(server, authority, None)
        with pytest.raises(RefusedError):
            ask(server, stranger, None)


@WAYS
def test_an_expired_certificate_is_not_accepted(ask: Ask, transport: str, authority: Authority, tmp_path: Path) -> None:
    config = write_ssl_config(tmp_path / "ssl.config", authority.sign("expired", days=-1))
    with running(tmp_path, transport=transport, ssl_config_file=str(config)) as server, pytest.raises(RefusedError):
        ask(server, authority, None)


@WAYS
def test_mutual_tls_serves_only_clients_of_its_authority(
    ask: Ask, transport: str, authority: Authority, stranger: Authority, tmp_path: Path
) -> None:
    config = write_ssl_config(tmp_path / "ssl.config", authority.sign("server"), authority.own.cert, verify=True)
    with running(tmp_path, transport=transport, ssl_config_file=str(config)) as server:
        ask(server, authority, authority.sign("client"))
        for wrong in (None, stranger.sign("client"), authority.sign("late", days=-1)):
            with pytest.raises(RefusedError):
                ask(server, authority, wrong)


@WAYS
def test_a_new_certificate_is_taken_up_and_a_bad_one_changes_nothing(
    ask: Ask, transport: str, authority: Authority, stranger: Authority, tmp_path: Path
) -> None:
    config = write_ssl_config(tmp_path / "ssl.config", authority.sign("server"))
    with running(tmp_path, transport=transport, ssl_config_file=str(config)) as server:
        ask(server, authority, None)
        write_ssl_config(config, stranger.sign("server"))
        ask(server, stranger, None)
        with pytest.raises(RefusedError):
            ask(server, authority, None)
        config.write_text('server_key: "nonsense"')
        ask(server, stranger, None)


def test_a_file_that_is_none_is_said_before_anything_starts(tmp_path: Path) -> None:
    file = tmp_path / "ssl.config"
    file.write_text('server_key: "nonsense" server_cert: "nonsense"')
    with (
        pytest.raises(UsageError, match=r"--ssl_config_file .* is not usable"),
        running(tmp_path, ssl_config_file=str(file)),
    ):
        pass
