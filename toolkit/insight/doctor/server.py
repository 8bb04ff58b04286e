"""Asks a given server what it speaks and how old it is, and holds that against what exported a model."""

import http.client
import re
from collections.abc import Iterator
from contextlib import suppress

from toolkit.deploying.commands import minor_of
from toolkit.errors import ServingError, UnavailableError, UsageError, WireError
from toolkit.insight.doctor.check import Check, State
from toolkit.runtimes.served import ask_status
from toolkit.wire.messages import Endpoint, Protocol, Target
from toolkit.wire.messages import State as VersionState

AREA = "server"
_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^/:\[\]\s]+):[0-9]{1,5}")
_TIMEOUT_S = 5.0
_METRICS = "/monitoring/prometheus/metrics"
_BUILD = re.compile(r'^tfx_build_info\{[^}]*tensorflow="([^"]+)"', re.MULTILINE)
_PAGE_BYTES = 4_000_000


def server_checks(address: str, exporter: str, model: str = "") -> Iterator[Check]:
    """Whether it answers, with what versions of a model, and the skew of TensorFlow's version.

    Args:
        address: HOST:PORT, of gRPC or REST.
        exporter: the version of TensorFlow that exports.
        model: a model that it should serve.

    Raises:
        UsageError: the address is none.
    """
    if not _ADDRESS.fullmatch(address):
        raise UsageError(f"'{address}' is no address of a server", hint="write HOST:PORT, as in localhost:8500")
    grpc, version = _over_grpc(address, model), _build_of(address)
    rest = _over_rest(address, model)
    found = grpc or rest
    if found is None:
        hint = "is it up, and is this the port of gRPC (8500) or REST (8501)?"
        yield Check(AREA, address, State.MISSING, "nobody answers there, neither gRPC nor REST", hint)
        return
    yield found
    yield _skew(address, exporter, version)


def _over_grpc(address: str, model: str) -> Check | None:
    try:
        status = ask_status(Endpoint(address, Protocol.GRPC), Target(model or "tfx-export-doctor"), _TIMEOUT_S)
    except (ServingError, WireError) as error:  # it speaks the protocol, and says so in its own words
        state = State.WARNING if model else State.OK
        return Check(AREA, address, state, f"answers gRPC{f': {error.message}' if model else ''}")
    except UnavailableError:
        return None
    failed = [one for one in status.versions if one.state is VersionState.END and one.error_message]
    if failed:
        text = f"version {failed[0].version} of {model} does not load: {failed[0].error_message}"
        return Check(AREA, address, State.WARNING, text, "a server older than the exporter does not know newer ops")
    versions = ", ".join(f"{one.version} {one.state.name}" for one in status.versions)
    return Check(AREA, address, State.OK, f"answers gRPC, {model}: {versions}")


def _over_rest(address: str, model: str) -> Check | None:
    code, _ = _get(address, f"/v1/models/{model or 'tfx-export-doctor'}")
    if code is None:
        return None
    if model and code != http.client.OK:
        return Check(AREA, address, State.WARNING, f"answers REST, and has no {model}", "is this the right server?")
    return Check(AREA, address, State.OK, "answers REST")


def _build_of(address: str) -> str | None:
    """The TensorFlow that a server of ours runs on, from its metrics."""
    _, page = _get(address, _METRICS)
    found = _BUILD.search(page)
    return found[1] if found else None


def _get(address: str, path: str) -> tuple[int | None, str]:
    with suppress(OSError, http.client.HTTPException, ValueError):
        connection = http.client.HTTPConnection(address, timeout=_TIMEOUT_S)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read(_PAGE_BYTES).decode("utf-8", "replace")
        finally:
            connection.close()
    return None, ""


def _skew(address: str, exporter: str, version: str | None) -> Check:
    if version is None:
        hint = (
            f"see that its image or package is of TensorFlow {exporter} or later, as in tensorflow/serving:{exporter}"
        )
        return Check(AREA, "version skew", State.NOTE, "TensorFlow Serving does not tell its version to clients", hint)
    text = f"it runs TensorFlow {version}, models are exported with {exporter}"
    if minor_of(version) < minor_of(exporter):
        return Check(AREA, "version skew", State.WARNING, text, "update the server first: it may not know newer ops")
    return Check(AREA, "version skew", State.OK, text)
