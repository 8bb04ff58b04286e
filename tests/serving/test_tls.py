"""TLS and mutual TLS of gRPC and REST: right, wrong and expired certificates, and new ones while it runs."""

import http.client
import json
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
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


@WAYS
@pytest.mark.parametrize("verify", [False, True])
def test_whether_clients_need_a_certificate_is_not_changed_in_passing(
    ask: Ask, transport: str, verify: bool, authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server_pair, client = authority.sign("server"), authority.sign("client")
    config = write_ssl_config(tmp_path / "ssl.config", server_pair, authority.own.cert, verify=verify)
    with running(tmp_path, transport=transport, ssl_config_file=str(config)) as server:
        write_ssl_config(config, authority.sign("expired", days=-1), authority.own.cert, verify=not verify)
        ask(server, authority, client)  # by the certificate of before
        assert f"client_verify: {str(not verify).lower()} is taken up by a restart only" in caplog.text
        assert {record.levelname for record in caplog.records if "client_verify" in record.message} == {"ERROR"}
        if verify:
            with pytest.raises(RefusedError):
                ask(server, authority, None)


@WAYS
def test_a_new_authority_of_clients_is_taken_up(
    ask: Ask, transport: str, authority: Authority, stranger: Authority, tmp_path: Path
) -> None:
    pair, before, after = authority.sign("server"), authority.sign("client"), stranger.sign("client")
    config = write_ssl_config(tmp_path / "ssl.config", pair, authority.own.cert, verify=True)
    with running(tmp_path, transport=transport, ssl_config_file=str(config)) as server:
        ask(server, authority, before)
        write_ssl_config(config, pair, stranger.own.cert, verify=True)
        ask(server, authority, after)
        with pytest.raises(RefusedError):
            ask(server, authority, before)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_session_does_not_outlive_the_authority_that_vouched_for_it(
    version: ssl.TLSVersion, authority: Authority, stranger: Authority, tmp_path: Path
) -> None:
    pair, own = authority.sign("server"), authority.sign("client")
    config = write_ssl_config(tmp_path / "ssl.config", pair, authority.own.cert, verify=True)
    context = ssl.create_default_context(cafile=str(authority.own.cert))
    context.maximum_version = version
    context.load_cert_chain(own.cert, own.key)

    def asked(port: int, session: ssl.SSLSession | None) -> tuple[bytes, bool | None, ssl.SSLSession | None]:
        with (
            socket.create_connection(("127.0.0.1", port), PATIENCE_S) as plain,
            context.wrap_socket(plain, server_hostname="localhost", session=session) as client,
        ):
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            return client.recv(15), client.session_reused, client.session

    with running(tmp_path, ssl_config_file=str(config)) as server:
        got, _, session = asked(server.rest_port, None)
        assert asked(server.rest_port, session)[:2] == (got, True)
        write_ssl_config(config, pair, stranger.own.cert, verify=True)
        with suppress(OSError):  # how it is refused depends on the version
            assert asked(server.rest_port, session)[0] == b""


def test_a_file_that_is_none_is_said_before_anything_starts(tmp_path: Path) -> None:
    file = tmp_path / "ssl.config"
    file.write_text('server_key: "nonsense" server_cert: "nonsense"')
    with (
        pytest.raises(UsageError, match=r"--ssl_config_file .* is not usable"),
        running(tmp_path, ssl_config_file=str(file)),
    ):
        pass
