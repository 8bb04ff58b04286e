"""Workers measure real artifacts side by side; what answers wrongly is caught in the same run and gets no time."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from toolkit.core.artifact import read_manifest
from toolkit.measure.measurement import Measurement, Status
from toolkit.measure.plan import Effort, Source, Task, Threads, local_paths
from toolkit.measure.session import Session

TINY = Effort("quick", rounds=3, least_s=0.06, most_s=1.0, percentiles=(50,), warm_up_s=0.02, starts_together=True)


@pytest.fixture(scope="module")
def bundle(shipped: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the mlp's bundle whose ONNX file alone is a little wrong."""
    import onnx

    place = tmp_path_factory.mktemp("perturbed") / "1"
    shutil.copytree(shipped("mlp"), place)
    file = place / read_manifest(place).artifacts[1].paths["serving_default"]
    assert file.suffix == ".onnx"
    model = onnx.load(str(file))
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            values = onnx.numpy_helper.to_array(tensor)
            tensor.CopyFrom(onnx.numpy_helper.from_array(values + np.float32(1e-2), tensor.name))
    onnx.save(model, str(file))
    return place


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
    tasks = [task(bundle, root, path) for path in ("graph", "onnx", "tflite")]
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


def test_a_device_that_is_not_there_is_said(bundle: Path, root: Path) -> None:
    from dataclasses import replace

    session = Session([replace(task(bundle, root, "graph", (1,)), device="GPU:7")], TINY, lambda *_: None, seed=1)
    assert session.run()
    absent = session.measurements[0]
    assert absent.status(TINY) == (Status.UNAVAILABLE, "TensorFlow sees no device GPU:7 here")


def test_what_was_measured_before_an_interruption_is_kept(shipped: Callable[[str], Path], root: Path) -> None:
    def interrupt(what: str, _done: float, _of: float) -> None:
        if "round 2" in what:
            raise KeyboardInterrupt

    session = Session([task(shipped("mlp"), root, "tflite", (1,))], TINY, interrupt, seed=1)
    assert not session.run()
    assert [len(one.rounds) for one in session.measurements] == [1]
    assert session.measurements[0].timed
