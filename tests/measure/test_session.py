"""Workers measure real artifacts side by side; what answers wrongly is caught in the same run and gets no time."""

import math
import shutil
from array import array
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toolkit.building.isolate import Isolated
from toolkit.core.artifact import Artifact, Manifest, read_manifest
from toolkit.core.parity import Parity
from toolkit.measure.measurement import Measurement, Status
from toolkit.measure.plan import Effort, Source, Task, Threads, chosen_paths, local_paths, unmade_paths
from toolkit.measure.report import Report
from toolkit.measure.sampling import SECOND_NS
from toolkit.measure.session import Session
from toolkit.measure.table import tables_of
from toolkit.measure.worker import Started, Turn, turn
from toolkit.verifying.bundle import judge

TINY = Effort("quick", rounds=3, least_s=0.06, most_s=1.0, percentiles=(50,), warm_up_s=0.02, starts_together=True)


@pytest.fixture(scope="module")
def bundle(shipped: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the mlp's bundle: its ONNX file is a little wrong, and three artifacts are as a quantizer leaves them.

    `onnx-dynamic` differs by design and passed its gate so; `onnx-int8` is the same file, whose gate saw a better one;
    `tflite-int8` failed.
    """
    place = tmp_path_factory.mktemp("perturbed") / "1"
    shutil.copytree(shipped("mlp"), place)
    manifest = read_manifest(place)
    onnx = manifest.artifact("onnx")
    assert onnx is not None
    (place / "onnx-dynamic").mkdir()
    path = "onnx-dynamic/serving_default.onnx"
    shutil.copy(place / onnx.paths["serving_default"], place / path)
    perturb(place / path, 1e-3)
    perturb(place / onnx.paths["serving_default"], 1e-2)
    lossy = replace(onnx, name="onnx-dynamic", variant="dynamic", path="onnx-dynamic", paths={"serving_default": path})
    passed = passed_as_found(place, replace(manifest, artifacts=(lossy,)))
    failed = replace(lossy, name="tflite-int8", format="tflite", parity=Parity("fail", "accuracy fell by 0.2"))
    added = (passed, replace(lossy, name="onnx-int8", variant="int8"), failed)
    (place / "manifest.json").write_bytes(replace(manifest, artifacts=(*manifest.artifacts, *added)).to_bytes())
    return place


def perturb(file: Path, by: float) -> None:
    import onnx

    model = onnx.load(str(file))
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            values = onnx.numpy_helper.to_array(tensor)
            tensor.CopyFrom(onnx.numpy_helper.from_array(values + np.float32(by), tensor.name))
    onnx.save(model, str(file))


def passed_as_found(place: Path, manifest: Manifest) -> Artifact:
    """The one artifact, let pass with whatever it differs by, as a gate does that asks for the task."""
    (artifact,) = manifest.artifacts
    found = judge(place, manifest, artifact.name, {})
    assert found.status == "fail"
    checks = [
        replace(check, outputs={name: replace(one, passed=True, problem="") for name, one in check.outputs.items()})
        for check in found.checks
    ]
    return replace(artifact, parity=Parity("pass", "", tuple(checks)))


def task(bundle: Path, root: Path, path: str, batch_sizes: tuple[int, ...] = (1, 60)) -> Task:
    manifest = read_manifest(bundle)
    runtime, artifact = local_paths(manifest)[path]
    return Task(
        model="mlp",
        path=path,
        runtime=runtime,
        source=Source("mlp", root),
        bundle=bundle,
        signature="serving_default",
        batch_sizes=batch_sizes,
        threads=Threads(1, 1),
        artifact=artifact,
    )


@pytest.fixture(scope="module")
def found(bundle: Path, root: Path) -> dict[tuple[str, int], Measurement]:
    """What one session finds of three paths at two batch sizes."""
    said: list[str] = []
    tasks = [task(bundle, root, path) for path in ("graph", "onnx", "tflite", "onnx-dynamic", "onnx-int8")]
    session = Session(tasks, TINY, lambda what, done, of: said.append(what), seed=1)
    assert session.run()
    assert {text.split(" ")[1] for text in said} == {"starting", "warming", "round"}
    return {(one.key.path, one.key.batch_size): one for one in session.measurements}


def test_an_artifact_perturbed_by_a_hundredth_is_wrong_and_gets_no_time(
    found: dict[tuple[str, int], Measurement],
) -> None:
    for batch_size in (1, 60):
        wrong = found["onnx", batch_size]
        assert wrong.status(TINY)[0] is Status.WRONG
        assert "expected" in wrong.status(TINY)[1]
        assert not wrong.timed
        assert wrong.rounds == ()


def test_a_lossy_artifact_is_held_to_what_it_differed_by_when_it_passed(
    found: dict[tuple[str, int], Measurement],
) -> None:
    assert found["onnx-dynamic", 1].timed
    assert found["onnx-dynamic", 60].problem == ""
    assert found["onnx-int8", 1].status(TINY)[0] is Status.WRONG


def test_an_artifact_that_failed_is_no_path_and_says_why(bundle: Path) -> None:
    manifest = read_manifest(bundle)
    known, unmade = local_paths(manifest), unmade_paths(manifest)
    assert known["onnx-dynamic"] == ("onnx", "onnx-dynamic")
    assert unmade == {"tflite-int8": "fail: accuracy fell by 0.2"}
    assert chosen_paths(known, unmade, ("tflite-int8",)) == ["eager", "tflite-int8"]


@pytest.mark.parametrize("path", ["graph", "tflite"])
@pytest.mark.parametrize("batch_size", [1, 60])
def test_the_others_are_timed_in_every_round(
    found: dict[tuple[str, int], Measurement], path: str, batch_size: int
) -> None:
    right = found[path, batch_size]
    assert right.timed
    assert not right.problem
    assert len(right.rounds) >= 3
    assert right.warm_up is not None
    assert right.warm_up.calls >= 10
    assert right.peak_bytes is not None
    assert 10**7 < right.peak_bytes < 10**10


def test_a_cold_start_has_its_parts(found: dict[tuple[str, int], Measurement]) -> None:
    assert list(found["graph", 1].cold_s) == ["process", "import", "load", "trace", "first call"]
    assert list(found["tflite", 1].cold_s) == ["process", "import", "load", "first call"]
    assert found["graph", 1].cold_s["import"] > found["tflite", 1].cold_s["import"]


def test_a_batch_of_any_size_is_made_of_golden_rows(bundle: Path) -> None:
    from toolkit.core.artifact import GOLDEN
    from toolkit.core.golden import read_golden
    from toolkit.measure.feeds import feed_of

    manifest = read_manifest(bundle)
    cases = read_golden(bundle / GOLDEN, manifest.signatures)
    feed = feed_of(cases, manifest.signatures["serving_default"], 60)
    assert feed["image"].shape == (60, 28, 28)
    assert (feed["image"][32] == feed["image"][0]).all()


def test_what_was_measured_before_an_interruption_is_kept(shipped: Callable[[str], Path], root: Path) -> None:
    def interrupt(what: str, _done: float, _of: float) -> None:
        if "round 2" in what:
            raise KeyboardInterrupt

    session = Session([task(shipped("mlp"), root, "tflite", (1,))], TINY, interrupt, seed=1)
    assert not session.run()
    assert [len(one.rounds) for one in session.measurements] == [1]
    assert session.measurements[0].timed


def test_the_workers_of_a_path_take_its_rounds_by_rotation_and_others_relieve_them(
    shipped: Callable[[str], Path], root: Path
) -> None:
    asked: list[int] = []

    class Watched(Isolated):
        def run(self, function: Callable[..., Any], *args: Any, timeout_s: float) -> Any:
            if function is turn:
                asked.append(self.pid)
            return super().run(function, *args, timeout_s=timeout_s)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("toolkit.measure.session.Isolated", Watched)
        patch.setattr("toolkit.measure.lanes.available_bytes", lambda: None)  # room for all, however full the machine
        effort = replace(TINY, rounds=8, workers=2, relays=2)
        session = Session([task(shipped("mlp"), root, "tflite", (1,))], effort, lambda *_: None, seed=1)
        assert session.run()
    (found,) = session.measurements
    assert (found.workers, found.timed) == (4, True)
    assert found.peak_bytes is not None
    first, second, third, fourth = dict.fromkeys(asked)
    assert asked[:4] == [first, second] * 2
    assert asked[4::2] == [third] * len(asked[4::2])
    assert asked[5::2] == [fourth] * len(asked[5::2])


def test_the_workers_that_relieve_others_are_warmed_up_for_less_time_at_most() -> None:
    first, later = (replace(TINY, warm_up_s=1.0, most_s=60.0).warm_up_limits(relay) for relay in (0, 1))
    assert (first.least_calls, first.least_ns, first.most_ns) == (10, SECOND_NS, 15 * SECOND_NS)
    assert (later.least_calls, later.least_ns, later.most_ns) == (10, SECOND_NS, 4 * SECOND_NS)


def test_nobody_relieves_the_workers_of_a_path_that_has_used_up_its_time(
    shipped: Callable[[str], Path], root: Path
) -> None:
    effort = replace(TINY, rounds=4, relays=2, least_s=0.2, most_s=0.11)
    session = Session([task(shipped("mlp"), root, "tflite", (1,))], effort, lambda *_: None, seed=1)
    assert session.run()
    (found,) = session.measurements
    assert found.workers == 1
    assert 1 <= len(found.rounds) <= 2


def test_without_memory_for_it_there_is_no_second_worker(
    shipped: Callable[[str], Path], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("toolkit.measure.lanes.available_bytes", lambda: 1)
    effort = replace(TINY, workers=2)
    session = Session([task(shipped("mlp"), root, "tflite", (1,))], effort, lambda *_: None, seed=1)
    assert session.run()
    (found,) = session.measurements
    assert (found.workers, found.timed) == (1, True)
    report = Report("now", {}, effort, {"processes": 2}, 1, (found,))
    assert "fewer than 2 processes, for want of memory or time: tflite" in tables_of(report)[0].notes


def waiting(rounds: dict[str, list[float]], effort: Effort) -> set[str]:
    """Which paths go on after rounds of such times, in units of 20 ms."""
    tasks = [Task("m", path, "", Source("m", Path()), Path(), "", (1,), Threads(1, 1)) for path in rounds]
    session = Session(tasks, effort, lambda *_: None, seed=1)
    for lane, times in zip(session._lanes, rounds.values(), strict=True):
        lane.started = Started({}, "")
        for time in times:
            lane.rows[0].add(Turn(array("q", [int(time * 20_000_000)]), {}), process=1)
    return {lane.task.path for lane, _ in session._waiting()}


STEADY, RESTLESS = [1.0] * 8, [1.0, 1.4] * 4
PRECISE = Effort("full", rounds=8, least_s=0.1, most_s=10.0, percentiles=(50,), patience=0, within=0.05)


def test_a_path_goes_on_beside_the_baseline_until_its_ratio_is_known() -> None:
    rounds = {"eager": STEADY, "graph": RESTLESS, "onnx": STEADY}

    assert waiting(rounds, PRECISE) == {"eager", "graph"}
    assert waiting(rounds, replace(PRECISE, within=0.5)) == set()
    assert waiting({"eager": STEADY, "onnx": STEADY}, PRECISE) == set()


def test_it_does_not_go_on_past_the_cap_of_either() -> None:
    assert waiting({"eager": STEADY, "graph": RESTLESS}, replace(PRECISE, most_s=0.19)) == set()
    slow = {"eager": [10.0] * 8, "graph": RESTLESS}
    assert waiting(slow, replace(PRECISE, most_s=1.6)) == set()
    assert waiting(slow, replace(PRECISE, most_s=1.7)) == {"eager", "graph"}


def test_where_no_ratio_is_asked_for_none_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any) -> float:
        raise AssertionError("it costs 2000 draws a row and round")

    monkeypatch.setattr("toolkit.measure.session.ratio_within", never)
    rounds = {"eager": STEADY, "graph": RESTLESS}
    assert waiting(rounds, replace(PRECISE, within=math.inf)) == set()
    with pytest.raises(AssertionError, match="2000 draws"):
        waiting(rounds, PRECISE)
