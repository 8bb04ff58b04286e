"""A version's directory becomes something that answers, with as many runners as its runtime needs."""

import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from tests.serving.fakes import PATIENCE_S
from toolkit.core.plugins import Opening, Runtime
from toolkit.core.runner import FunctionRunner, Runner
from toolkit.core.tensors import Feed, Outputs, Signature, TensorSpec
from toolkit.errors import Fault, RunError, ServingError, ToolkitError
from toolkit.serving.servables import Loading, OpenedServable, load_servable
from toolkit.wire.signatures import write_signature

MODELS = Path(__file__).parents[1] / "golden" / "data" / "models"
HALF_PLUS_TWO = MODELS / "saved_model_half_plus_two_cpu" / "00000123"
ROWS = Signature({"x": TensorSpec("float32", (None,))}, {"y": TensorSpec("float32", (None,))})


@dataclass
class FakeRuntime:
    """Runners that notice when two callers are in one of them at the same time."""

    opened: list[Opening] = field(default_factory=list)
    closed: int = 0
    entered: list[int] = field(default_factory=list)
    overlaps: int = 0
    meeting: threading.Barrier | None = None

    @contextmanager
    def open(self, opening: Opening) -> Iterator[Runner]:
        self.opened.append(opening)
        inside = threading.Lock()
        number = len(self.opened)

        def run(feed: Feed) -> Outputs:
            alone = inside.acquire(blocking=False)
            self.overlaps += not alone
            try:
                self.entered.append(number)
                if self.meeting is not None:
                    self.meeting.wait(PATIENCE_S)
                if feed["x"][0] < 0:
                    raise RunError("negative", fault=Fault.INVALID)
                return {"y": feed["x"]}
            finally:
                if alone:
                    inside.release()

        yield FunctionRunner("fake", ROWS, run)
        self.closed += 1

    def servable(self, *, concurrent: bool, runners: int = 2) -> OpenedServable:
        runtime = Runtime("fake", ("fake",), self.open, concurrent=concurrent)
        signatures = {name: write_signature(name, ROWS) for name in ("a", "b")}
        paths = dict.fromkeys(signatures, Path("model"))
        return OpenedServable("fake", signatures, runtime, paths, Loading(runners=runners, threads=3))


def feed(value: float) -> Feed:
    return {"x": np.array([value], np.float32)}


@pytest.mark.parametrize(("concurrent", "runners"), [(True, 1), (False, 2)])
def test_a_signature_is_opened_once_with_the_runners_that_its_runtime_needs(concurrent: bool, runners: int) -> None:
    runtime = FakeRuntime()
    servable = runtime.servable(concurrent=concurrent)
    with ThreadPoolExecutor(8) as pool:
        assert all(answer["y"] == [1.0] for answer in pool.map(lambda _: servable.run("a", feed(1.0)), range(50)))
    assert [(one.signature_name, one.threads) for one in runtime.opened] == [("a", 3)] * runners
    servable.run("b", feed(1.0))
    assert len(runtime.opened) == 2 * runners
    servable.close()
    assert runtime.closed == 2 * runners


def test_callers_of_a_concurrent_runtime_share_one_runner() -> None:
    runtime = FakeRuntime(meeting=threading.Barrier(3))
    servable = runtime.servable(concurrent=True)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: servable.run("a", feed(1.0)), range(3)))
    assert runtime.entered == [1, 1, 1]


def test_callers_of_another_one_never_meet_in_a_runner_but_work_side_by_side() -> None:
    runtime = FakeRuntime(meeting=threading.Barrier(2))
    servable = runtime.servable(concurrent=False, runners=2)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: servable.run("a", feed(1.0)), range(8)))
    assert runtime.overlaps == 0
    assert set(runtime.entered) == {1, 2}


def test_a_run_that_fails_gives_its_runner_back() -> None:
    servable = FakeRuntime().servable(concurrent=False, runners=1)
    for _ in range(3):
        with pytest.raises(RunError):
            servable.run("a", feed(-1.0))
    assert servable.run("a", feed(1.0))["y"] == [1.0]


def test_a_saved_model_answers() -> None:
    servable = load_servable(HALF_PLUS_TWO, Loading())
    assert servable.artifact == "saved_model"
    assert [able.artifact for able in servable.able("serving_default", {})] == ["saved_model"]
    assert servable.run("serving_default", feed(2.0))["y"].tolist() == [3.0]
    servable.close()


@pytest.mark.parametrize("content", ["nothing", "file"])
def test_7_an_empty_directory_is_refused_in_tensorflow_servings_words(tmp_path: Path, content: str) -> None:
    if content == "file":
        (tmp_path / "notes.txt").touch()
    with pytest.raises(ServingError) as found:
        load_servable(tmp_path, Loading())
    assert found.value.fault is Fault.NOT_FOUND
    assert found.value.message == (
        "Specified file path does not appear to contain a SavedModel bundle (should have a file called "
        f"`saved_model.pb`)\nSpecified file path: {tmp_path}"
    )


@pytest.mark.parametrize("damage", [b"", b"\xff\xffgarbage"])
def test_a_damaged_saved_model_is_an_error_with_a_reason(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "saved_model.pb").write_bytes(damage)
    with pytest.raises(ToolkitError, match="SavedModel"):
        load_servable(tmp_path, Loading())


def test_a_saved_model_whose_variables_are_missing_does_not_load(tmp_path: Path) -> None:
    shutil.copytree(HALF_PLUS_TWO, tmp_path / "1")
    shutil.rmtree(tmp_path / "1" / "variables")
    with pytest.raises(ToolkitError, match="does not load in graph mode"):
        load_servable(tmp_path / "1", Loading())


def test_an_op_that_nobody_knows_is_named(tmp_path: Path) -> None:
    from toolkit.wire import protos

    shutil.copytree(HALF_PLUS_TWO, tmp_path / "1")
    path = tmp_path / "1" / "saved_model.pb"
    saved = protos.parse(protos.SavedModel, path.read_bytes())
    node = next(node for node in saved.meta_graphs[0].graph_def.node if node.op == "Add")
    node.op = "SecretSauce"
    path.write_bytes(saved.SerializeToString())
    with pytest.raises(ToolkitError, match="SecretSauce"):
        load_servable(tmp_path / "1", Loading())


@pytest.mark.parametrize("runtime", ["onnx", "tflite", "fastest"])
def test_a_bare_saved_model_was_proven_for_no_other_runtime(runtime: str) -> None:
    with pytest.raises(ServingError, match=f"nothing was proven for --runtime {runtime}") as found:
        load_servable(HALF_PLUS_TWO, Loading(runtime))
    assert found.value.fault is Fault.PRECONDITION


@pytest.mark.parametrize("runtime", ["onnx", "fastest", "graph"])
def test_nor_was_a_bare_tflite_model(tmp_path: Path, runtime: str) -> None:
    (tmp_path / "model.tflite").write_bytes(b"is not read")
    with pytest.raises(ServingError, match=f"bare model.tflite: nothing was proven for --runtime {runtime}") as found:
        load_servable(tmp_path, Loading(runtime))
    assert found.value.fault is Fault.PRECONDITION


@pytest.fixture
def both_files(shipped: Callable[[str], Path], tmp_path: Path) -> Path:
    """A directory with a SavedModel and a model.tflite, as TensorFlow Serving may find it."""
    bundle = shipped("mlp")
    shutil.copytree(bundle / "saved_model", tmp_path / "1")
    shutil.copy(bundle / "tflite" / "serving_default.tflite", tmp_path / "1" / "model.tflite")
    return tmp_path / "1"


def test_a_tflite_model_answers_where_it_is_preferred_or_alone(both_files: Path) -> None:
    image = np.zeros((2, 28, 28), np.float32)
    answers = []
    for loading in (Loading(), Loading(prefer_tflite=True)):
        servable = load_servable(both_files, loading)
        feed = dict.fromkeys(servable.signatures["serving_default"].inputs, image)
        answers.append((servable.artifact, next(iter(servable.run("serving_default", feed).values()))))
        servable.close()
    (both_files / "saved_model.pb").unlink()
    servable = load_servable(both_files, Loading())
    assert servable.artifact == "tflite"
    assert list(servable.signatures) == ["serving_default"]
    servable.close()
    assert [name for name, _ in answers] == ["saved_model", "tflite"]
    np.testing.assert_allclose(answers[0][1], answers[1][1], atol=1e-5, rtol=1e-4)


def test_a_damaged_tflite_model_is_an_error_with_a_reason(tmp_path: Path) -> None:
    (tmp_path / "model.tflite").write_bytes(b"no flatbuffer")
    with pytest.raises(ToolkitError, match=r"model\.tflite does not open"):
        load_servable(tmp_path, Loading())


@pytest.mark.parametrize("runtime", ["saved_model", "onnx", "tflite"])
def test_every_runtime_answers_for_a_bundle_with_the_same_signatures(
    shipped: Callable[[str], Path], runtime: str
) -> None:
    servable, saved = load_servable(shipped("mlp"), Loading(runtime)), load_servable(shipped("mlp"), Loading())
    image = {"image": np.ones((3, 28, 28), np.float32)}
    assert servable.artifact == runtime
    assert servable.signatures == saved.signatures
    for name, expected in saved.run("serving_default", image).items():
        np.testing.assert_allclose(servable.run("serving_default", image)[name], expected, atol=1e-5, rtol=1e-4)
    servable.close()
    saved.close()


def test_a_runtime_that_a_bundle_has_no_artifact_for_is_refused_with_what_it_has(
    shipped: Callable[[str], Path],
) -> None:
    with pytest.raises(ServingError, match="no artifact for --runtime eager") as found:
        load_servable(shipped("mlp"), Loading("eager"))
    assert "saved_model, onnx, tflite" in found.value.hint


def test_what_was_opened_is_closed_when_the_rest_does_not_open(
    shipped: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from toolkit.runtimes import saved_model

    def refuse(*_: object) -> None:
        raise RunError("out of memory")

    real = saved_model.RUNTIME

    @contextmanager
    def open_half(opening: Opening) -> Iterator[Runner]:
        with real.open(opening):
            refuse()
            yield FunctionRunner("never", ROWS, lambda fed: fed)

    monkeypatch.setattr(saved_model, "RUNTIME", replace(real, open=open_half))
    with pytest.raises(RunError):
        load_servable(shipped("mlp"), Loading())
    assert not saved_model._SESSIONS.loaded
