"""HandleReloadConfigRequest over the life of a server; the numbers are those of the recorded behaviour."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import pytest

from tests.serving.fakes import (
    ALL,
    BY_HAND,
    PATIENCE_S,
    Disk,
    FakeLoader,
    answered,
    latest,
    serving,
    specific,
    states,
    wait_for,
    wait_until_done,
    watch,
)
from toolkit.errors import Fault, ServingError
from toolkit.serving.engine import DirectRuns, Engine
from toolkit.serving.library import Library
from toolkit.serving.metrics import Metrics, Observation
from toolkit.serving.rpc_calls import RpcCalls
from toolkit.serving.timing import Timing
from toolkit.wire import protos
from toolkit.wire.codes import Code
from toolkit.wire.messages import ModelConfig, ReloadRequest, VersionPolicy
from toolkit.wire.rpc import RELOAD_CONFIG
from toolkit.wire.rpc_models import encode_reload_request

Reload = Callable[..., "Future[None]"]


@pytest.fixture
def served(disk: Disk, load: FakeLoader) -> Iterator[Library]:
    """A server of model a, version 1."""
    disk.publish("a", 1)
    with serving(load, BY_HAND, disk.config("a")) as library:
        yield library


@pytest.fixture
def reload(served: Library) -> Iterator[Reload]:
    """Reloads on a thread of its own, as a client's call does."""
    engine = Engine(served, DirectRuns())
    pool = ThreadPoolExecutor(8)

    def start(*models: ModelConfig) -> "Future[None]":
        return pool.submit(engine.reload, ReloadRequest(models))

    yield start
    served.stop(PATIENCE_S)  # wakes those that still wait
    pool.shutdown()


def done(answer: "Future[None]") -> None:
    answer.result(PATIENCE_S)


def refused(answer: "Future[None]") -> ServingError:
    error = answer.exception(PATIENCE_S)
    assert isinstance(error, ServingError)
    return error


def test_17_an_added_model_is_awaited(served: Library, reload: Reload, disk: Disk, load: FakeLoader) -> None:
    disk.publish("b", 1)
    go = load.hold("b", 1)
    answer = reload(disk.config("a"), disk.config("b"))
    load.wait_for_begun("b", 1)
    assert not answer.done()
    assert states(served, "b") == {1: "LOADING"}
    assert answered(served, "a") == 1
    go.set()
    done(answer)
    assert answered(served, "b") == 1


def test_18_a_removed_model_ends_and_its_end_stays_listed(served: Library, reload: Reload, disk: Disk) -> None:
    done(reload(ModelConfig("b", str(disk.publish("b", 1)))))
    wait_for(served, "a", {1: "END"})
    with pytest.raises(ServingError, match=r"^Servable not found for request: Latest\(a\)$"):
        answered(served, "a")
    assert answered(served, "b") == 1


def test_19_an_empty_list_unloads_all_and_the_old_one_loads_them_again(
    served: Library, reload: Reload, disk: Disk
) -> None:
    done(reload())
    wait_for(served, "a", {1: "END"})
    done(reload(disk.config("a")))
    assert answered(served, "a") == 1


def test_a_model_that_comes_back_while_it_is_unloaded_is_awaited_and_loaded(
    served: Library, reload: Reload, disk: Disk, load: FakeLoader, monkeypatch: pytest.MonkeyPatch
) -> None:
    closing, go = threading.Event(), threading.Event()

    def close() -> None:
        closing.set()
        assert go.wait(PATIENCE_S)

    monkeypatch.setattr(load.loaded[0], "close", close)
    done(reload())
    assert closing.wait(PATIENCE_S)
    answer = reload(disk.config("a"))
    assert states(served, "a") == {1: "UNLOADING"}
    assert not answer.done()
    go.set()
    done(answer)
    assert answered(served, "a") == 1


def test_20_another_base_path_is_not_awaited_and_takes_over_without_a_gap(
    served: Library, reload: Reload, disk: Disk, load: FakeLoader
) -> None:
    disk.publish("elsewhere", 2)
    go = load.hold("a", 2)
    done(reload(replace(disk.config("elsewhere"), name="a")))
    assert answered(served, "a") == 1
    go.set()
    wait_for(served, "a", {2: "AVAILABLE", 1: "END"})
    assert load.loaded[1].path == disk.root / "elsewhere" / "2"


def test_20_the_same_version_at_another_base_path_is_not_loaded_again(
    served: Library, reload: Reload, disk: Disk, load: FakeLoader
) -> None:
    disk.publish("elsewhere", 1)
    done(reload(replace(disk.config("elsewhere"), name="a")))
    assert states(served, "a") == {1: "AVAILABLE"}
    assert [servable.path for servable in load.loaded] == [disk.root / "a" / "1"]


def test_20_a_missing_base_path_keeps_the_old_version(served: Library, reload: Reload, disk: Disk) -> None:
    done(reload(ModelConfig("a", str(disk.root / "missing"))))
    served.poll()
    assert answered(served, "a") == 1


def test_a_failed_version_at_another_base_path_is_tried(served: Library, reload: Reload, disk: Disk) -> None:
    disk.publish_broken("b", 1)
    assert refused(reload(disk.config("a"), disk.config("b"))).fault is Fault.UNKNOWN
    disk.publish("good", 1)
    done(reload(disk.config("a"), replace(disk.config("good"), name="b")))
    wait_for(served, "b", {1: "AVAILABLE"})


@pytest.mark.parametrize("base_path_exists", [True, False])
def test_21_a_model_without_a_version_is_awaited(
    served: Library, reload: Reload, disk: Disk, base_path_exists: bool
) -> None:
    if base_path_exists:
        disk.base("b")
    answer = reload(disk.config("a"), disk.config("b"))
    watch(served, lambda: "b" in served._configs, "taken")
    served.poll()
    assert not answer.done()
    disk.publish("b", 1)
    served.poll()
    done(answer)


def test_a_waiting_reload_does_not_block_the_next_one(served: Library, reload: Reload, disk: Disk) -> None:
    waiting = reload(disk.config("a"), disk.config("missing"))
    watch(served, lambda: "missing" in served._configs, "taken")
    disk.publish("b", 1)
    done(reload(disk.config("a"), disk.config("missing"), disk.config("b")))
    assert answered(served, "b") == 1
    assert not waiting.done()


def test_a_reload_whose_model_is_removed_meanwhile_returns(served: Library, reload: Reload, disk: Disk) -> None:
    waiting = reload(disk.config("a"), disk.config("missing"))
    watch(served, lambda: "missing" in served._configs, "taken")
    done(reload(disk.config("a")))
    done(waiting)


def test_a_reload_may_give_up_waiting(served: Library, disk: Disk) -> None:
    with pytest.raises(ServingError) as found:
        Engine(served, DirectRuns()).reload(ReloadRequest((disk.config("missing"),)), timeout_s=0.001)
    assert found.value.fault is Fault.DEADLINE


def test_a_caller_whose_deadline_passed_keeps_no_thread(served: Library, disk: Disk) -> None:
    calls = RpcCalls(Engine(served, DirectRuns()), Metrics())
    body = encode_reload_request(ReloadRequest((disk.config("a"), disk.config("missing"))))
    answer = calls.answer(RELOAD_CONFIG, body, Timing(deadline_ns=time.perf_counter_ns()))
    assert answer.status is not None
    assert answer.status.code is Code.DEADLINE_EXCEEDED
    assert answered(served, "a") == 1


def test_each_metric_asked_for_says_once_how_much_it_grew(disk: Disk, load: FakeLoader) -> None:
    metrics, seen = Metrics(), Observation("a", "Predict", "GRPC", Code.OK, 1)
    metrics.observe(seen, Timing())

    class Busy(Library):
        def reconfigure(self, models: Sequence[ModelConfig]) -> list[str]:
            metrics.observe_all(seen, [Timing(), Timing()])
            return []

    names = ("/tensorflow/serving/request_count", "/made/up", "/tensorflow/serving/runtime_latency", "/made/up")
    body = encode_reload_request(ReloadRequest((disk.config("a"),), names))
    answer = RpcCalls(Engine(Busy(load, BY_HAND), DirectRuns()), metrics).answer(RELOAD_CONFIG, body, Timing())
    grown = protos.parse(protos.ReloadConfigResponse, answer.body).metric
    assert {metric.name: metric.int64_value_increase for metric in grown} == dict.fromkeys(names, 0) | {names[0]: 2}
    assert len(grown) == 3


def test_22_a_new_model_that_cannot_load_is_reported_and_the_others_are_applied(
    served: Library, reload: Reload, disk: Disk
) -> None:
    disk.publish("b", 1)
    disk.publish_broken("n", 1, "broken")
    models = [disk.config("b"), disk.config("n")]
    error = refused(reload(*models))
    assert error.fault is Fault.UNKNOWN
    assert error.message == (
        "1 model(s) did not become available: {{{name: n version: 1} due to error: NOT_FOUND: broken}, }"
    )
    wait_for(served, "a", {1: "END"})
    assert answered(served, "b") == 1
    done(reload(*models))  # n is no longer new


def test_23_a_type_instead_of_a_platform_is_enough(served: Library, reload: Reload, disk: Disk) -> None:
    done(reload(replace(disk.config("a"), platform="", model_type=1)))
    assert answered(served, "a") == 1


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (specific(1, 2), {3: "END", 2: "AVAILABLE", 1: "AVAILABLE"}),
        (specific(9), {3: "END", 2: "END", 1: "END"}),
        (latest(2), {3: "AVAILABLE", 2: "AVAILABLE", 1: "END"}),
        (latest(0), {3: "AVAILABLE", 2: "END", 1: "END"}),
    ],
)
def test_24_another_policy_is_followed(
    disk: Disk, load: FakeLoader, policy: VersionPolicy, expected: dict[int, str]
) -> None:
    disk.publish("m", 1, 2, 3)
    with serving(load, BY_HAND, disk.config("m", ALL)) as library:
        wait_until_done(library, "m")
        Engine(library, DirectRuns()).reload(ReloadRequest((disk.config("m", policy),)), PATIENCE_S)
        wait_for(library, "m", expected)


def test_the_same_list_again_waits_for_nothing_and_loads_nothing(
    served: Library, reload: Reload, disk: Disk, load: FakeLoader
) -> None:
    done(reload(disk.config("a")))
    assert load.began == [("a", 1)]
