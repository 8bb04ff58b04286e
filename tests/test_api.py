"""The Python API gives what the command line gives: manifests, runners, outputs, and errors by their class."""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import toolkit
from toolkit import ModelSpec, TensorSpec, ToolkitError
from toolkit.errors import CatalogError, FeedError, ParityError, StoreError, TraceError, UsageError

if TYPE_CHECKING:
    from toolkit.building.isolate import Isolated

ROW = TensorSpec("float32", (None, 2))
EVERY_FORMAT = ["saved_model", "onnx", "tflite"]


def double(x: Any) -> Any:
    return {"twice": 2 * x}


MODEL = ModelSpec("double", lambda: double, inputs={"x": ROW})


@pytest.fixture(autouse=True)
def shared_child(project: Path, child: "Isolated", monkeypatch: pytest.MonkeyPatch) -> None:
    from toolkit import api
    from toolkit.building import several

    for module in (several, api):
        monkeypatch.setattr(module, "Isolated", lambda verbose: nullcontext(child))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the first test that asks for it has MODEL built."""
    return tmp_path_factory.mktemp("built") / "double"


@pytest.fixture
def built(bundle: Path) -> Path:
    """The bundle of MODEL."""
    if not bundle.exists():
        toolkit.build(MODEL, out=bundle)
    return bundle


def test_a_spec_is_built_into_the_project(project: Path) -> None:
    manifest = toolkit.build(MODEL, formats=["saved_model"])
    assert (manifest.model, manifest.version, manifest.source.baseline) == ("double", 1, "eager")
    assert [(artifact.name, artifact.parity.status) for artifact in manifest.artifacts] == [("saved_model", "pass")]
    assert (project / "exported" / "double" / "1" / "manifest.json").exists()


def test_a_model_a_factory_and_a_reference_are_built_too(project: Path) -> None:
    import keras

    x = keras.Input((2,), name="x")
    network = keras.Model(x, keras.layers.Rescaling(2.0, name="twice")(x), name="whole")
    text = "MODEL = ModelSpec('typed', lambda: (lambda x: x), inputs={'x': TensorSpec('float32', (None,))})\n"
    (project / "net.py").write_text(f"from toolkit import ModelSpec, TensorSpec\n{text}")
    for model, name in ((network, "whole"), ("net.py", "typed"), (Path("net.py"), "typed")):
        assert toolkit.build(model, formats=["saved_model"]).model == name


def test_the_root_may_be_elsewhere(tmp_path: Path) -> None:
    toolkit.build(MODEL, formats=["saved_model"], root=str(tmp_path / "elsewhere"))
    assert (tmp_path / "elsewhere" / "exported" / "double" / "1").is_dir()


def test_out_names_the_bundle(built: Path) -> None:
    assert toolkit.verify(built).model == "double"


@pytest.mark.parametrize("artifact", EVERY_FORMAT)
def test_an_artifact_is_opened_as_a_runner(built: Path, artifact: str) -> None:
    with toolkit.open_artifact(built, artifact, signature="serving_default", threads=1) as runner:
        assert list(runner.signature.inputs) == ["x"]
        outputs = runner.run({"x": np.ones((3, 2), np.float32)})
        assert outputs["twice"].tolist() == [[2.0, 2.0]] * 3
        with pytest.raises(FeedError, match="missing input 'x'"):
            runner.run({})


@pytest.mark.parametrize("feed", [{"x": [[1, 2]]}, {"x": np.array([[1, 2]], np.float32)}])
def test_one_question_is_asked(built: Path, feed: dict[str, Any]) -> None:
    assert toolkit.predict(built, feed)["twice"].tolist() == [[2.0, 4.0]]
    assert toolkit.predict(str(built), feed, artifact="onnx")["twice"].tolist() == [[2.0, 4.0]]


def test_without_a_feed_a_golden_one_is_asked(built: Path) -> None:
    assert toolkit.predict(built)["twice"].shape == (1, 2)


def test_several_artifacts_are_open_at_once(built: Path) -> None:
    feed = {"x": np.ones((1, 2), np.float32)}
    with toolkit.open_artifact(built, "onnx") as one, toolkit.open_artifact(built, "saved_model") as other:
        np.testing.assert_array_equal(one.run(feed)["twice"], other.run(feed)["twice"])


def leaning(x: Any) -> Any:
    import tensorflow as tf

    return {"twice": 2 * x + (0.5 if tf.executing_eagerly() else 0.0)}


ERRORS: list[tuple[Callable[[Path], object], type[ToolkitError], str]] = [
    (lambda built: toolkit.build("gone"), CatalogError, "there is no model 'gone'"),
    (lambda built: toolkit.build(3), CatalogError, "is a int"),
    (lambda built: toolkit.build(ModelSpec("vague", lambda: double)), TraceError, "nothing says what the inputs"),
    (lambda built: toolkit.build(MODEL, formats=["onx"]), UsageError, "there is no format 'onx'"),
    (lambda built: toolkit.build(MODEL, out=built), UsageError, "is already there"),
    (lambda built: toolkit.build(MODEL, out="/proc/none/such"), StoreError, "/proc"),
    (lambda built: toolkit.build(MODEL, allow_diff={"twice": 1.0}), UsageError, "needs a reason"),
    (
        lambda built: toolkit.build(ModelSpec("lean", lambda: leaning, inputs={"x": ROW}), formats=["saved_model"]),
        ParityError,
        "lean as saved_model",
    ),
    (lambda built: toolkit.verify(built.parent / "gone"), CatalogError, "is no bundle"),
    (lambda built: toolkit.open_artifact(built, "onxx"), CatalogError, "has no artifact 'onxx'"),
    (lambda built: toolkit.predict(built, {"y": [[1, 2]]}), FeedError, "unknown input 'y'"),
]


@pytest.mark.parametrize(("call", "kind", "message"), ERRORS, ids=[row[2] for row in ERRORS])
def test_what_goes_wrong_is_raised_by_its_class(
    built: Path, call: Callable[[Path], object], kind: type[ToolkitError], message: str
) -> None:
    with pytest.raises(kind, match=message) as caught:
        call(built)
    assert caught.value.hint


def test_a_misspelt_option_is_pythons_own_error() -> None:
    options: Any = {"alow_diff": {}}
    with pytest.raises(TypeError, match="alow_diff"):
        toolkit.build(MODEL, **options)


def test_the_package_names_what_it_gives() -> None:
    assert {"build", "verify", "predict", "open_artifact", "connect", "ModelSpec"} <= set(dir(toolkit))
    with pytest.raises(AttributeError, match="module 'toolkit' has no attribute 'biuld'"):
        _ = toolkit.biuld
