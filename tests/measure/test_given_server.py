"""A server that tells nothing of its time, and one that keeps state, are measured without a wrong word."""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest

from tests.measure.test_session import TINY
from tests.serving.authority import Authority, write_ssl_config
from toolkit.building.catalog import resolve
from toolkit.building.isolate import Isolated
from toolkit.building.pipeline import Options, build_bundle
from toolkit.core.artifact import read_manifest
from toolkit.errors import UnavailableError
from toolkit.measure.bench import BenchRequest, _Target
from toolkit.measure.measurement import Status
from toolkit.measure.opening import OpenPath
from toolkit.measure.plan import Source, Task, Threads
from toolkit.measure.server import given_server
from toolkit.measure.session import Session
from toolkit.serving.embedded import ServeRequest, Serving, serve
from toolkit.serving.timing import Timing
from toolkit.wire.endpoints import Reach

COUNTER = """
    import tensorflow as tf
    from toolkit import ModelSpec, TensorSpec

    class Counter(tf.Module):
        def __init__(self):
            super().__init__()
            self.calls = tf.Variable(0.0)

        def __call__(self, x):
            return {"calls": self.calls.assign_add(1.0), "double": x * 2}

    MODEL = ModelSpec("counter", build=Counter, inputs={"x": TensorSpec("float32", (None, 3))})
"""


@pytest.fixture
def serving() -> Iterator[Callable[..., Serving]]:
    """Serves a bundle in this process, with every request's own times or without."""
    with ExitStack() as stack:

        def begin(bundle: Path, **flags: str) -> Serving:
            request = ServeRequest(flags={"port": 0, "rest_api_port": 0, **flags})
            return stack.enter_context(serve(bundle, request))

        yield begin


def task(bundle: Path, root: Path, path: str, running: Serving) -> Task:
    """One served path, asked as of somebody else's server."""
    endpoint = running.grpc if path == "grpc" else running.rest
    assert endpoint is not None
    scheme = {"grpc": "grpc", "rest": "http"}[path]
    model = read_manifest(bundle).model
    url = given_server(f"{scheme}://{endpoint.address}", model).url(path, "serving_default")
    source, threads = Source(model, root), Threads(1, 1)
    return Task(model, path, "served", source, bundle, "serving_default", (1,), threads, url=url)


def test_a_server_that_tells_nothing_leaves_it_all_to_the_network(
    shipped: Callable[[str], Path],
    root: Path,
    serving: Callable[..., Serving],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As TensorFlow Serving, or a proxy that strips what it does not know.
    monkeypatch.setattr(Timing, "as_metadata", lambda _: ())
    monkeypatch.setattr(Timing, "as_server_timing", lambda _: "")
    bundle = shipped("mlp")
    running = serving(bundle, runtime="onnx")
    session = Session([task(bundle, root, path, running) for path in ("grpc", "rest")], TINY, lambda *_: None, seed=1)
    assert session.run()
    for found in session.measurements:
        assert found.status(TINY)[0] is not Status.WRONG
        assert found.timed, found.absent
        assert list(found.phases_ns) == ["client encode", "network", "client decode"]
        assert found.peak_bytes is None  # nobody here knows the memory of somebody else's server


def test_a_server_behind_a_plain_proxy_is_measured_through_it(
    shipped: Callable[[str], Path], root: Path, serving: Callable[..., Serving]
) -> None:
    bundle = shipped("mlp")
    running = serving(bundle, runtime="onnx")
    assert running.grpc is not None
    assert running.rest is not None
    with proxied(running.grpc.address) as (grpc, of_grpc), proxied(running.rest.address) as (rest, of_rest):
        servers = {"grpc": given_server(grpc, "mlp"), "rest": given_server(f"http://{rest}", "mlp")}
        tasks = [
            replace(task(bundle, root, path, running), url=server.url(path, "serving_default"))
            for path, server in servers.items()
        ]
        session = Session(tasks, TINY, lambda *_: None, seed=1)
        assert session.run()
    for found in session.measurements:
        assert found.timed, found.absent
        assert {"queue", "parse", "compute", "encode"} <= set(found.phases_ns)
        assert found.peak_bytes is None
    least = 28 * 28 * 4 * min(len(found.samples_ns) for found in session.measurements)
    assert of_grpc[0] > least, "every call went through it"
    assert of_rest[0] > least


def test_a_server_behind_tls_is_reached_with_its_authority_and_with_no_other(
    shipped: Callable[[str], Path], root: Path, serving: Callable[..., Serving], tmp_path: Path
) -> None:
    trusted, stranger = Authority.make(tmp_path, "trusted"), Authority.make(tmp_path, "stranger")
    bundle = shipped("mlp")
    config = write_ssl_config(tmp_path / "ssl.config", trusted.sign("server"), trusted.own.cert, verify=True)
    running = serving(bundle, runtime="onnx", ssl_config_file=str(config))
    assert running.grpc is not None
    assert running.rest is not None
    own = trusted.sign("client")
    target = _Target(bundle, read_manifest(bundle), Source("mlp", root))
    for path, server in (("grpc", f"grpcs://{running.grpc.address}"), ("rest", f"https://{running.rest.address}")):
        request = BenchRequest(("mlp",), paths=(path,), server=server, reach=Reach(trusted.own.cert, own.cert, own.key))
        with ExitStack() as stack:
            (asked,) = (found for found in target.tasks(request, stack)[0] if found.url)
        assert OpenPath(asked).problem() == ""
        with pytest.raises(UnavailableError, match="does not answer"):
            OpenPath(replace(asked, reach=replace(request.reach, tls_ca=stranger.own.cert)))


@contextmanager
def proxied(upstream: str) -> Iterator[tuple[str, list[int]]]:
    """HOST:PORT of something that hands bytes on to another HOST:PORT and back, and how many it took from clients."""
    host, _, port = upstream.rpartition(":")
    taken = [0]

    def hand_on(source: socket.socket, sink: socket.socket, counts: bool) -> None:
        with suppress(OSError):  # either side may go first
            while data := source.recv(65536):
                taken[0] += len(data) * counts
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def accept(listener: socket.socket, ends: ExitStack) -> None:
        with suppress(OSError):  # closed: nobody is to come any more
            while True:
                client = ends.enter_context(listener.accept()[0])
                server = ends.enter_context(socket.create_connection((host, int(port))))
                Thread(target=hand_on, args=(client, server, True), daemon=True).start()
                Thread(target=hand_on, args=(server, client, False), daemon=True).start()

    with ExitStack() as ends, socket.create_server(("127.0.0.1", 0)) as listener:
        Thread(target=accept, args=(listener, ends), daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}", taken
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("path", ["grpc", "rest"])
def test_a_server_that_keeps_state_is_not_called_wrong_for_it(
    path: str,
    write: Callable[[str, str], Path],
    project: Path,
    child: Isolated,
    serving: Callable[..., Serving],
) -> None:
    write("models/counter.py", COUNTER)
    options = Options(project / "exported", formats=("saved_model",))
    outcome = build_bundle(resolve("counter", project), options, child, lambda _: None)
    assert outcome.bundle is not None, outcome.error
    assert read_manifest(outcome.bundle).behaviour["serving_default"].stateful
    opened = OpenPath(task(outcome.bundle, project, path, serving(outcome.bundle)))
    for _ in range(3):  # others have asked it before
        opened.runner.run(opened.cases[0].feed)
    assert opened.problem() == ""
    assert "state is the server's" in opened.caveat
