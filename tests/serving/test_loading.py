"""What a server does to load one version: it refuses, opens, warms up, and leaves nothing behind where that fails."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.serving.fakes import ALL, BY_HAND, PATIENCE_S, wait_until_done
from toolkit.errors import Fault, ServingError, ToolkitError, WireError
from toolkit.serving.library import Library
from toolkit.serving.loading import Loader
from toolkit.serving.servables import Loading, OpenedServable
from toolkit.serving.warmup import WARMUP_FILE
from toolkit.wire import protos
from toolkit.wire.codes import Code
from toolkit.wire.messages import ModelConfig, State, Target
from toolkit.wire.settings import BatchingParameters

MODELS = Path(__file__).parents[1] / "golden" / "data" / "models"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A version of the recorded half plus two, which a test may change."""
    shutil.copytree(MODELS / "saved_model_half_plus_two_cpu" / "00000123", tmp_path / "m" / "1")
    return tmp_path / "m" / "1"


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The signatures that are run."""
    seen: list[str] = []
    run = OpenedServable.run

    def spy(self: OpenedServable, signature: str, feed: dict[str, object]) -> object:
        seen.append(signature)
        return run(self, signature, feed)  # type: ignore[arg-type]

    monkeypatch.setattr(OpenedServable, "run", spy)
    return seen


@pytest.mark.parametrize("runtime", ["saved_model", "onnx", "fastest"])
def test_a_bundles_own_warm_up_runs_in_every_runtime(shipped: Callable[[str], Path], runtime: str) -> None:
    servable = Loader(Loading(runtime))("mlp", 1, shipped("mlp"))
    assert servable.artifact.startswith(runtime)
    servable.close()


@pytest.mark.parametrize(("loader", "times"), [(Loader(), 1), (Loader(iterations=3), 3), (Loader(warm_up=False), 0)])
def test_recorded_requests_run_as_often_as_asked(
    shipped: Callable[[str], Path], runs: list[str], loader: Loader, times: int
) -> None:
    from toolkit.serving.warmup import read_records

    records = len(list(read_records(shipped("mlp") / "saved_model" / WARMUP_FILE)))
    loader("mlp", 1, shipped("mlp")).close()
    assert runs == ["serving_default"] * records * times
    assert records > 0


def test_a_warm_up_that_fails_fails_the_load_and_leaves_nothing_open(model: Path) -> None:
    from toolkit.runtimes import saved_model

    path = model / WARMUP_FILE
    path.parent.mkdir()
    path.write_bytes(b"garbage that is long enough")
    with pytest.raises(ServingError, match="corrupted record at 0"):
        Loader()("m", 1, model)
    assert not saved_model._SESSIONS.loaded
    Loader(warm_up=False)("m", 1, model).close()


def test_an_unsafe_model_is_refused_unless_it_is_trusted(model: Path) -> None:
    path = model / "saved_model.pb"
    saved = protos.parse(protos.SavedModel, path.read_bytes())
    saved.meta_graphs[0].graph_def.node.add(name="steal", op="ReadFile", input=["path"])
    node = saved.meta_graphs[0].graph_def.node.add(name="path", op="Const")
    node.attr["dtype"].type = 7
    node.attr["value"].tensor.dtype = 7
    node.attr["value"].tensor.tensor_shape.SetInParent()
    node.attr["value"].tensor.string_val.append(b"/etc/passwd")
    path.write_bytes(saved.SerializeToString())
    with pytest.raises(ServingError, match=r"is not safe to serve: ReadFile reads files \(steal\)$") as found:
        Loader()("m", 1, model)
    assert found.value.fault is Fault.PERMISSION
    Loader(allow_unsafe=True)("m", 1, model).close()


def test_a_bundle_is_held_against_its_saved_model_whatever_runtime_answers(
    shipped: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[Path] = []
    monkeypatch.setattr("toolkit.serving.loading.refuse_unsafe", lambda path, _: looked.append(path))
    Loader(Loading("onnx"))("mlp", 1, shipped("mlp")).close()
    assert looked == [shipped("mlp") / "saved_model" / "saved_model.pb"]


BATCHING = "max_batch_size { value: 8 } allowed_batch_sizes: 4 allowed_batch_sizes: 8"


def test_batching_parameters_of_a_version_are_read_where_they_are_asked_for(model: Path) -> None:
    (model / "batching_params.pbtxt").write_text(BATCHING)
    servable = Loader(own_batching=True)("m", 1, model)
    assert servable.batching == BatchingParameters(max_batch_size=8, allowed_batch_sizes=(4, 8))
    servable.close()
    plain = Loader()("m", 1, model)
    assert plain.batching is None
    plain.close()


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("max_batch_size { value: 0 }", ServingError, "max_batch_size must be positive; was 0"),
        (f"{BATCHING} allowed_batch_sizes: 9", ServingError, "Last entry in allowed_batch_sizes must match"),
        ("nonsense: 1", WireError, "nonsense"),
    ],
)
def test_those_that_make_no_sense_fail_the_load_and_not_a_request(
    model: Path, text: str, error: type[ToolkitError], message: str
) -> None:
    (model / "batching_params.pbtxt").write_text(text)
    with pytest.raises(error, match=message):
        Loader(own_batching=True)("m", 1, model)
    Loader()("m", 1, model).close()


def test_6_and_7_files_and_empty_directories_end_with_the_recorded_errors(model: Path) -> None:
    base = model.parent
    (base / "2").mkdir()
    (base / "9").touch()
    library = Library(Loader(), BY_HAND)
    library.start([ModelConfig("m", str(base), policy=ALL)])
    wait_until_done(library, "m")
    assert set(library.wait_until_settled(["m"], PATIENCE_S)) == {("m", 9)}
    file, empty, good = library.status(Target("m")).versions
    assert (file.version, file.state, file.error_code) == (9, State.END, Code.FAILED_PRECONDITION)
    assert file.error_message == (
        f"Error while attempting to reserve resources to load servable {{name: m version: 9}}: {base}/9; "
        "Not a directory"
    )
    assert (empty.version, empty.state, empty.error_code) == (2, State.END, Code.NOT_FOUND)
    assert empty.error_message.endswith(f"Specified file path: {base}/2")
    assert good.state is State.AVAILABLE
    with library.lease(Target("m")) as lease:
        found = lease.servable.run("serving_default", {"x": np.array([2.0], np.float32)})
        assert found["y"].tolist() == [3.0]
    library.stop(PATIENCE_S)


def test_real_versions_are_swapped_under_load_without_a_failed_request(model: Path) -> None:
    """A few with TensorFlow; a hundred with fakes are in test_swap.py."""
    import threading
    from concurrent.futures import ThreadPoolExecutor

    base, over = model.parent, threading.Event()
    library = Library(Loader(), BY_HAND)
    library.start([ModelConfig("m", str(base))])
    library.wait_until_settled(["m"], PATIENCE_S)

    def hammer() -> int:
        count = 0
        while not over.is_set():
            with library.lease(Target("m")) as lease:
                found = lease.servable.run("serving_default", {"x": np.array([2.0], np.float32)})
            assert found["y"].tolist() == [3.0]
            count += 1
        return count

    with ThreadPoolExecutor(3) as pool:
        clients = [pool.submit(hammer) for _ in range(3)]
        try:
            for version in (2, 3):
                shutil.copytree(model, base.parent / "stage")
                (base.parent / "stage").rename(base / str(version))
                library.poll()
                library.wait_until_settled(["m"], PATIENCE_S)
        finally:
            over.set()
        assert all(client.result(PATIENCE_S) for client in clients)
    library.stop(PATIENCE_S)
    assert set(library.states()["m"].states().values()) == {State.END}
