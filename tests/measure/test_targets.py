"""What is planned for one model: a task for each path and thread setting, and which server is asked."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from toolkit.errors import BenchError, UnavailableError
from toolkit.measure import bench
from toolkit.measure.bench import BenchRequest, _Target
from toolkit.measure.measurement import Measurement
from toolkit.measure.plan import Task, Threads
from toolkit.measure.server import Served

ONE, TWO = Threads(1, 1), Threads(2, 2)
Planned = Callable[[BenchRequest], tuple[list[Task], list[Measurement]]]
REQUEST = BenchRequest(("mlp",), paths=("graph", "grpc", "rest"), threads=(ONE, TWO), batch_sizes=(1, 32))


@pytest.fixture
def planned(shipped: Callable[[str], Path], root: Path, monkeypatch: pytest.MonkeyPatch) -> Planned:
    """Plans with servers that are only said to be there, one for each thread setting."""
    shipped("mlp")

    @contextmanager
    def served(_: Path, model: str, threads: int) -> Iterator[Served]:
        if threads == 7:
            raise UnavailableError("the server did not start: no memory", hint="")
        yield Served(f"127.0.0.1:{8000 + threads}", f"127.0.0.1:{9000 + threads}", model, pid=threads)

    monkeypatch.setattr(bench, "serve_bundle", served)

    def plan(request: BenchRequest) -> tuple[list[Task], list[Measurement]]:
        target = _Target.find(replace(request, root=root), "mlp", lambda *_: None)
        with ExitStack() as stack:
            return target.tasks(request, stack)

    return plan


def test_each_thread_setting_has_its_tasks_and_its_own_server(
    planned: Planned,
) -> None:
    tasks, absent = planned(REQUEST)

    assert [(one.path, one.threads) for one in tasks] == [
        (path, threads) for threads in (ONE, TWO) for path in ("eager", "graph", "grpc", "rest")
    ]
    assert {one.batch_sizes for one in tasks} == {(1, 32)}
    assert [one.url for one in tasks if one.url] == [
        "grpc://127.0.0.1:8001/mlp:serving_default",
        "http://127.0.0.1:9001/mlp:serving_default",
        "grpc://127.0.0.1:8002/mlp:serving_default",
        "http://127.0.0.1:9002/mlp:serving_default",
    ]
    assert absent == []


def test_a_server_that_runs_already_is_asked_once_and_by_its_protocol(
    planned: Planned,
) -> None:
    tasks, absent = planned(replace(REQUEST, server="grpc://127.0.0.1:8500"))

    assert [(one.url, one.threads) for one in tasks if one.url] == [("grpc://127.0.0.1:8500/mlp:serving_default", ONE)]
    assert [(one.key.path, one.key.batch_size, one.key.threads) for one in absent] == [
        ("rest", 1, ONE),
        ("rest", 32, ONE),
    ]
    assert all("other protocol" in one.absent for one in absent)


def test_where_the_server_does_not_start_its_paths_say_so_and_the_others_are_measured(
    planned: Planned,
) -> None:
    tasks, absent = planned(replace(REQUEST, threads=(Threads(7, 7),), batch_sizes=(1,)))

    assert [one.path for one in tasks] == ["eager", "graph"]
    assert [(one.key.path, one.absent) for one in absent] == [
        (path, "the server did not start: no memory") for path in ("grpc", "rest")
    ]


@pytest.mark.parametrize("wrong", [replace(REQUEST, signature="nosuch"), replace(REQUEST, paths=("nosuch",))])
def test_a_signature_or_path_that_is_not_there_is_said_when_the_model_is_found(
    planned: Planned, wrong: BenchRequest
) -> None:
    with pytest.raises(BenchError, match="nosuch"):
        planned(wrong)


def test_device_inputs_reach_every_task(
    planned: Planned,
) -> None:
    tasks, _ = planned(replace(REQUEST, device_inputs=True, device="CPU:0"))
    assert {(one.device_inputs, one.device) for one in tasks} == {(True, "CPU:0")}
