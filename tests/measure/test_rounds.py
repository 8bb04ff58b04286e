"""The order of rounds, and what becomes of a path whose worker dies or answers wrongly; processes that only pretend."""

from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import pytest

from toolkit.building.isolate import ChildDied
from toolkit.errors import RunError
from toolkit.measure import worker
from toolkit.measure.measurement import Measurement, Status
from toolkit.measure.plan import Effort, Source, Task, Threads
from toolkit.measure.sampling import WarmUp
from toolkit.measure.session import Session

PATHS = ("eager", "function", "graph", "onnx")
EFFORT = Effort("quick", rounds=6, least_s=0.06, most_s=1.0, percentiles=(50,), patience=0, starts_together=True)
TURN_NS = 10_000_000


@dataclass
class Stage:
    """What the pretended processes have done, and what becomes of them."""

    turns: list[str] = field(default_factory=list)
    active: int = 0
    most_active: int = 0
    processes: int = 0
    start: Callable[[int, str], str] = lambda process, path: ""
    turn: Callable[[str, int], None] = lambda path, count: None

    @contextmanager
    def working(self) -> Iterator[None]:
        """One more process is busy."""
        self.active += 1
        self.most_active = max(self.most_active, self.active)
        yield
        self.active -= 1


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    made = Stage()

    class Pretended:
        def __init__(self, *, verbose: bool) -> None:
            made.processes += 1
            self.pid, self.path = made.processes, ""

        def run(self, function: Callable[..., Any], *args: Any, timeout_s: float) -> Any:
            return _answer(made, self, function, args)

        def stop(self) -> None:
            """There is no process."""

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            self.stop()

    monkeypatch.setattr("toolkit.measure.session.Isolated", Pretended)
    monkeypatch.setattr("toolkit.measure.lanes.available_bytes", lambda: None)
    return made


def _answer(stage: Stage, process: Any, function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    if function is worker.start:
        process.path = args[0].path
        return worker.Started({"first call": 0.1}, stage.start(process.pid, process.path))
    if function is worker.warm:
        return WarmUp(10, 1, flat=True)
    if function is worker.turn:
        with stage.working():
            stage.turns.append(process.path)
            stage.turn(process.path, stage.turns.count(process.path))
            return worker.Turn(array("q", [TURN_NS] * 2), {})
    return None


def measured(effort: Effort = EFFORT, seed: int = 1) -> dict[str, Measurement]:
    source = Source("m", Path())
    tasks = [Task("m", path, "", source, Path(), "", (1,), Threads(1, 1)) for path in PATHS]
    session = Session(tasks, effort, lambda *_: None, seed)
    assert session.run()
    return {found.key.path: found for found in session.measurements}


def test_each_round_takes_every_path_once_in_an_order_of_its_own_and_one_at_a_time(stage: Stage) -> None:
    measured()

    count = len(PATHS)
    rounds = [tuple(stage.turns[at : at + count]) for at in range(0, len(stage.turns), count)]
    assert len(rounds) == EFFORT.rounds
    assert {frozenset(order) for order in rounds} == {frozenset(PATHS)}
    assert len(set(rounds)) >= 3
    assert stage.most_active == 1


def test_the_seed_gives_the_order(stage: Stage) -> None:
    orders = []
    for seed in (1, 1, 2):
        stage.turns.clear()
        measured(seed=seed)
        orders.append(list(stage.turns))
    assert orders[0] == orders[1] != orders[2]


def test_a_worker_that_dies_takes_its_own_path_along_alone(stage: Stage) -> None:
    def turn(path: str, count: int) -> None:
        if path == "graph" and count == 3:
            raise ChildDied("its process was killed by SIGKILL", hint="")

    stage.turn = turn
    found = measured()

    assert found["graph"].status(EFFORT) == (Status.UNAVAILABLE, "its process was killed by SIGKILL")
    assert found["graph"].rounds == ()
    assert stage.turns.count("graph") == 3
    assert {path for path, one in found.items() if len(one.rounds) == EFFORT.rounds} == set(PATHS) - {"graph"}


@pytest.mark.parametrize("wrong", [2, 6, 10])
def test_one_of_many_workers_that_answers_wrongly_makes_the_path_wrong(stage: Stage, wrong: int) -> None:
    # Four paths: processes 1 to 4 are the first of each, the last of a path 13 to 16.
    stage.start = lambda process, path: "expected 1, actual 2" if (process, path) == (wrong, "function") else ""
    effort = replace(EFFORT, rounds=8, workers=2, relays=2)

    found = measured(effort)

    assert found["function"].status(effort) == (Status.WRONG, "expected 1, actual 2")
    assert not found["function"].timed
    assert found["graph"].timed
    assert found["graph"].workers == 4


def test_one_of_many_workers_that_does_not_start_makes_the_path_unavailable(stage: Stage) -> None:
    def start(process: int, path: str) -> str:
        if process > 2 * len(PATHS) and path == "onnx":
            raise RunError("the file is gone", hint="")
        return ""

    stage.start = start
    effort = replace(EFFORT, rounds=8, workers=2, relays=2)

    found = measured(effort)

    assert found["onnx"].status(effort) == (Status.UNAVAILABLE, "the file is gone")
    assert found["graph"].timed
