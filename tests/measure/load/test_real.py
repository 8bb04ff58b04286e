"""Real workers against a real server: every protocol, mixed traffic, errors, wrong answers; nothing here is timed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.serving.authority import Authority, write_ssl_config
from tests.serving.running import Running, running
from toolkit.core.tensors import Feed, Outputs
from toolkit.errors import ToolkitError, UsageError
from toolkit.measure.awake import ASLEEP, cores_awake
from toolkit.measure.load.crew import Crew
from toolkit.measure.load.report import LoadReport
from toolkit.measure.load.request import LoadRequest
from toolkit.measure.load.session import measure_load
from toolkit.measure.load.tables import tables_of
from toolkit.measure.measurement import Status
from toolkit.wire.endpoints import Reach

FEEDS: dict[str, Any] = {"": [{"x": np.arange(12, dtype=np.float32).reshape(6, 2)}]}
SHORT: dict[str, Any] = {"duration_s": 0.3, "warm_up_s": 0.1, "timeout_s": 5.0}
Loaded = Callable[..., LoadReport]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("served")) as found:
        yield found


@pytest.fixture(scope="module")
def loaded() -> Iterator[Loaded]:
    """Loads targets with one worker, which is started once."""
    with Crew(1) as crew:
        yield lambda *targets, **options: measure_load(
            LoadRequest(targets=targets, **({"feeds": FEEDS} | SHORT | options)),
            crew=crew if "workers" not in options else None,
        )


def grpc_url(server: Running, rest: str = "double") -> str:
    return f"grpc://127.0.0.1:{server.grpc_port}/{rest}"


def rest_url(server: Running, rest: str = "double") -> str:
    return f"http://127.0.0.1:{server.rest_port}/{rest}"


@pytest.mark.parametrize("url", [grpc_url, rest_url])
@pytest.mark.parametrize("options", [{"rates": (200.0,)}, {"rates": (200.0,), "arrival": "poisson"}, {"callers": (4,)}])
def test_every_request_is_answered_and_written_down(
    loaded: Loaded, server: Running, url: Any, options: dict[str, Any]
) -> None:
    point = loaded(url(server), **options, batch_sizes=(2,)).points[0]
    assert point.problem == ""
    assert dict(point.records.errors) == {}
    assert len(point.corrected_ns) == len(point.records) > 50
    assert (point.records.counted["done"] > point.records.counted["sent"]).all()
    assert (point.records.counted["sent"] >= point.records.counted["due"]).all()
    # The server told of its own time, and no more of it than there was.
    assert {"network", "queue", "parse", "compute", "encode", "client encode", "client decode"} <= set(
        point.medians_s()
    )
    assert sum(point.slowest_s().values()) > 0


def test_a_schedule_is_the_same_for_the_same_seed(loaded: Loaded, server: Running) -> None:
    options = {"rates": (300.0,), "arrival": "poisson", "seed": 5, "requests": 40}
    one, other = (loaded(grpc_url(server), **options).points[0] for _ in range(2))
    assert np.array_equal(np.diff(one.records.columns["due"]), np.diff(other.records.columns["due"]))


def test_several_workers_share_one_schedule(loaded: Loaded, server: Running) -> None:
    point = loaded(grpc_url(server), rates=(300.0,), workers=2).points[0]
    assert len(point.cpu_shares) == 2
    assert len(point.corrected_ns) == 90
    assert np.ptp(np.diff(point.records.columns["due"])) <= 1  # ns


def test_requests_bound_both_kinds_of_load(loaded: Loaded, server: Running) -> None:
    found = loaded(grpc_url(server), callers=(3,), requests=50, duration_s=30.0)
    assert len(found.points[0].corrected_ns) == 50
    assert len(loaded(grpc_url(server), rates=(500.0,), requests=50).points[0].corrected_ns) == 50


def test_mixed_traffic_goes_where_its_weights_say(loaded: Loaded, server: Running) -> None:
    point = loaded(
        grpc_url(server), rest_url(server), rates=(400.0,), weights=(3.0, 1.0), requests=200, duration_s=1.0
    ).points[0]
    counts = [len(point.records.of_stream(at)) for at in (0, 1)]
    assert sum(counts) == 200
    assert 130 < counts[0] < 170
    assert point.shape.protocol == "grpc+rest"
    assert point.streams == ("double over grpc", "double over rest")
    assert set(point.summary()["streams"]) == set(point.streams)


def test_a_unix_socket_is_a_way_like_any_other(loaded: Loaded, tmp_path: Path) -> None:
    socket = tmp_path / "grpc.sock"
    with running(tmp_path, grpc_socket_path=str(socket)):
        point = loaded(f"unix://{socket}/double", rates=(100.0,)).points[0]
    assert point.shape.protocol == "grpc+unix"
    assert len(point.corrected_ns) == 30


def test_tls_is_used_and_a_stranger_is_refused_in_one_line(loaded: Loaded, tmp_path: Path) -> None:
    trusted, stranger = Authority.make(tmp_path, "trusted"), Authority.make(tmp_path, "stranger")
    config = write_ssl_config(tmp_path / "ssl.config", trusted.sign("server"))
    with running(tmp_path, ssl_config_file=str(config)) as server:
        for url in (grpc_url(server).replace("grpc:", "grpcs:"), rest_url(server).replace("http:", "https:")):
            point = loaded(url, rates=(100.0,), reach=Reach(tls_ca=trusted.own.cert)).points[0]
            assert len(point.corrected_ns) == 30
            assert point.shape.protocol.endswith("+tls")
            with pytest.raises(ToolkitError) as caught:
                loaded(url, rates=(100.0,), reach=Reach(tls_ca=stranger.own.cert))
            assert caught.value.exit_code == 4


class Faulty:
    """A model that answers otherwise, or fails, from its nth run on."""

    def __init__(self, server: Running, after: int, fails: bool) -> None:
        self._run, self._after, self._fails, self._count = server.model.run, after, fails, 0

    def __call__(self, signature: str, feed: Feed) -> Outputs:
        self._count += 1
        found = self._run(signature, feed)
        if self._count <= self._after:
            return found
        if self._fails:
            raise RuntimeError("the model broke")
        return {"y": found["y"] + np.float32(1)}


@contextmanager
def faulty(tmp_path: Path, *, fails: bool) -> Iterator[Running]:
    # Long after all payloads were asked at rest: 6 payloads, 25 calls for timing, twice 40 calls.
    with running(tmp_path) as server:
        server.model.run = Faulty(server, 200, fails)  # type: ignore[method-assign]
        yield server


def test_answers_that_differ_from_those_at_rest_are_wrong(loaded: Loaded, tmp_path: Path) -> None:
    with faulty(tmp_path, fails=False) as server:
        point = loaded(grpc_url(server), rates=(400.0,), duration_s=0.5).points[0]
    status, why = point.status
    assert status is Status.WRONG
    assert "'y' is" in why


@pytest.mark.parametrize(("url", "name"), [(grpc_url, "INTERNAL"), (rest_url, "HTTP 500")])
def test_errors_are_counted_by_their_code_with_their_words(loaded: Loaded, tmp_path: Path, url: Any, name: str) -> None:
    with faulty(tmp_path, fails=True) as server:
        point = loaded(url(server), rates=(400.0,), duration_s=0.5).points[0]
    assert point.records.errors[name] > 100
    assert len(point.corrected_ns) + point.records.errors[name] == len(point.records)
    assert point.words[name]


def test_what_is_not_answered_in_time_is_a_time_out(loaded: Loaded, tmp_path: Path) -> None:
    with running(tmp_path) as server:
        numbers, run = count(), server.model.run

        def held(signature: str, feed: Feed) -> Outputs:
            if next(numbers) == 200:
                server.model.gate.clear()
            return run(signature, feed)

        server.model.run = held  # type: ignore[method-assign]
        point = loaded(grpc_url(server), rates=(400.0,), duration_s=0.5, timeout_s=0.3).points[0]
        server.model.gate.set()
    assert point.records.errors["DEADLINE_EXCEEDED"] > 50
    assert point.summary()["timeouts"] == point.records.errors["DEADLINE_EXCEEDED"]
    # A time-out counts as long as it took: the tail is not hidden.
    assert point.corrected_ns.max() > 0.25e9


def test_another_machine_is_loaded_only_where_that_was_allowed(loaded: Loaded) -> None:
    with pytest.raises(UsageError, match="not this machine"):
        loaded("grpc://192.0.2.1:8500/double", rates=(100.0,))


def test_a_report_says_whether_idle_cores_slept(loaded: Loaded, server: Running) -> None:
    with cores_awake() as here:  # what this process may ask for
        assert loaded(grpc_url(server), callers=(1,), requests=5).machine["idle cores"] == here
    asleep = loaded(grpc_url(server), callers=(1,), requests=5, let_sleep=True)
    assert asleep.machine["idle cores"] == ASLEEP
    assert asleep.settings["let_sleep"]
    assert f"idle cores {ASLEEP}" in tables_of(asleep)[0].notes


def test_the_report_survives_its_json(loaded: Loaded, server: Running) -> None:
    found = loaded(grpc_url(server), rates=(200.0,))
    again = LoadReport.from_json(found.to_json())
    assert again.to_json() == found.to_json()
    assert replace(again, points=()).settings == replace(found, points=()).settings
