"""A .keras file or a SavedModel, however it came about, becomes a model with signatures, or one line says why not."""

import importlib
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toolkit.building.catalog import resolve
from toolkit.building.load import build_model
from toolkit.building.trace import trace_model
from toolkit.core.model import ModelSpec, TracedModel
from toolkit.core.tensors import Signature
from toolkit.errors import ExitCode, ToolkitError

Write = Callable[[str, str], Path]
LAYERS = """
    import keras

    @keras.saving.register_keras_serializable("own")
    class Twice(keras.layers.Layer):
        def call(self, x):
            return 2 * x

    class Thrice(keras.layers.Layer):
        def call(self, x):
            return 3 * x

    def half(x):
        return x / 2

    @keras.saving.register_keras_serializable("own")
    class Whole(keras.Model):
        def call(self, x):
            return 4 * x

    def functional(layer):
        x = keras.Input((3,), name="x")
        return keras.Model(x, layer(x))

    def subclassed():
        model = Whole()
        model(keras.ops.ones((5, 3)))
        return model

    MODELS = {
        "twice": lambda: functional(Twice()),
        "thrice": lambda: functional(Thrice()),
        "half": lambda: functional(keras.layers.Activation(half)),
        "lambda": lambda: functional(keras.layers.Lambda(lambda x: x + 1, name="plus")),
        "named": lambda: functional(keras.layers.Lambda(half)),
        "whole": subclassed,
        "plain": lambda: functional(keras.layers.Rescaling(5.0, name="five")),
    }
"""


@pytest.fixture
def saved(write: Write, project: Path) -> Iterator[Callable[..., Path]]:
    """Saves one of the models above, and forgets its classes as a new process would not know them."""
    import keras

    write("own_layers.py", LAYERS)

    def save(name: str, suffix: str = ".keras") -> Path:
        monkey = pytest.MonkeyPatch()
        monkey.syspath_prepend(str(project))
        own = importlib.import_module("own_layers")
        path = project / f"{name}{suffix}"
        with keras.saving.custom_object_scope({}):
            own.MODELS[name]().save(path)
        monkey.undo()
        keras.saving.get_custom_objects().clear()
        del sys.modules["own_layers"]
        return path

    yield save
    keras.saving.get_custom_objects().clear()


def load(path: Path, project: Path, imports: tuple[str, ...] = (), unsafe_lambda: bool = False) -> TracedModel:
    entry = resolve(str(path), project, imports)
    return trace_model(entry.spec, build_model(entry.spec, unsafe_lambda=unsafe_lambda))


def ask(traced: TracedModel, name: str = "serving_default") -> Any:
    feed = {key: np.ones((1, *spec.shape[1:]), np.float32) for key, spec in traced.signatures[name].inputs.items()}
    return traced.eager[name](feed)


@pytest.mark.parametrize(
    ("name", "suffix", "imports", "unsafe", "expected"),
    [
        ("plain", ".keras", (), False, 5.0),
        ("twice", ".keras", ("own_layers",), False, 2.0),
        ("twice", ".keras", ("own_layers.py",), False, 2.0),
        ("thrice", ".keras", ("own_layers",), False, 3.0),
        ("half", ".keras", ("own_layers",), False, 0.5),
        ("named", ".keras", ("own_layers",), False, 0.5),
        ("lambda", ".keras", (), True, 2.0),
        ("whole", ".keras", ("own_layers",), False, 4.0),
    ],
)
def test_a_keras_file_becomes_a_model(
    saved: Callable[..., Path],
    project: Path,
    *,
    name: str,
    suffix: str,
    imports: tuple[str, ...],
    unsafe: bool,
    expected: float,
) -> None:
    traced = load(saved(name, suffix), project, imports, unsafe)
    (output,) = ask(traced).values()
    assert output.tolist() == [[expected] * 3]
    assert traced.baseline == "eager"
    (shape,) = (spec.shape for spec in traced.signatures["serving_default"].inputs.values())
    assert shape == (None, 3)


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("twice", "needs the class 'Twice', which is not registered", "--import own_layers"),
        ("thrice", "needs the class 'Thrice', which is not registered", "--import own_layers"),
        ("half", "needs the function 'half', which is not registered", "--import MODULE"),
        ("whole", "needs the class 'Whole', which is not registered", "--import own_layers"),
        ("lambda", "holds a Lambda layer: Python code that loading would run", "--unsafe-lambda"),
    ],
)
def test_what_a_keras_file_lacks_is_named(
    saved: Callable[..., Path], project: Path, name: str, message: str, hint: str
) -> None:
    with pytest.raises(ToolkitError) as caught:
        load(saved(name), project)
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.exit_code == ExitCode.BAD_INPUT


@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.99])
def test_a_truncated_keras_file_is_said_to_be_no_whole_one(
    saved: Callable[..., Path], project: Path, keep: float
) -> None:
    path = saved("plain")
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content)) if keep < 1 else int(keep)])
    with pytest.raises(ToolkitError, match=r"plain\.keras is no whole \.keras file"):
        load(path, project)


def test_a_keras_file_with_other_content_is_said_to_be_none(project: Path) -> None:
    import zipfile

    with zipfile.ZipFile(project / "net.keras", "w") as archive:
        archive.writestr("readme", "hello")
    with pytest.raises(ToolkitError, match=r"net\.keras does not load") as caught:
        load(project / "net.keras", project)
    assert "\n" not in caught.value.message


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SavedModels as other programs write them: `keras` by model.export, `module` by tf.saved_model.save."""
    import keras
    import tensorflow as tf

    class Words(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            initializer = tf.lookup.KeyValueTensorInitializer(["a", "b"], tf.constant([1, 2], tf.int64))
            self.table = tf.lookup.StaticHashTable(initializer, -1)
            self.factor = tf.Variable(2.0)

        @tf.function(input_signature=[tf.TensorSpec((None,), tf.string)])
        def look(self, words: Any) -> Any:
            return {"ids": self.table.lookup(words)}

        @tf.function(input_signature=[tf.TensorSpec((None, 2), tf.float32)])
        def scale(self, x: Any) -> Any:
            return {"scaled": self.factor * x}

    folder = tmp_path_factory.mktemp("exported")
    image = keras.Input((3,), name="image")
    keras.Model(image, keras.layers.Dense(2)(image)).export(folder / "keras", verbose=False)
    words = Words()
    tf.saved_model.save(words, folder / "module", signatures={"look": words.look, "scale": words.scale})
    tf.saved_model.save(words, folder / "bare")
    return folder


def test_a_directory_of_keras_export_keeps_its_signatures(exported: Path, project: Path) -> None:
    traced = load(exported / "keras", project)
    assert traced.baseline == "restored"
    assert {name: (list(found.inputs), list(found.outputs)) for name, found in traced.signatures.items()} == {
        "serve": (["image"], ["output_0"]),
        "serving_default": (["image"], ["output_0"]),
    }
    assert ask(traced)["output_0"].shape == (1, 2)


def test_a_saved_module_keeps_its_signatures_and_tables(exported: Path, project: Path) -> None:
    traced = load(exported / "module", project)
    assert traced.eager["look"]({"words": np.array([b"b", b"?"], object)})["ids"].tolist() == [2, -1]
    assert ask(traced, "scale")["scaled"].tolist() == [[2.0, 2.0]]


@pytest.mark.parametrize("form", ["path", "factory of the path", "factory of what was loaded"])
def test_a_saved_model_is_restored_however_a_spec_names_it(exported: Path, form: str) -> None:
    import tensorflow as tf

    path = exported / "module"
    builds: dict[str, Any] = {"path": path, "factory of the path": lambda: str(path)}
    build = builds.get(form, lambda: tf.saved_model.load(str(path)))
    spec = ModelSpec("m", build, signatures={"scale": Signature({})})
    traced = trace_model(spec, build_model(spec))
    assert (traced.baseline, list(traced.signatures)) == ("restored", ["scale"])


def test_a_factory_may_give_the_path_of_a_keras_file(saved: Callable[..., Path]) -> None:
    path = saved("plain")
    spec = ModelSpec("m", lambda: path)
    traced = trace_model(spec, build_model(spec))
    assert (traced.baseline, ask(traced)["five"].tolist()) == ("eager", [[5.0] * 3])


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"signatures": {"lok": Signature({})}}, "'m' was saved without a signature 'lok'"),
        ({"signatures": {"look": Signature({"x": None})}}, "'look' of 'm' was saved with inputs words, not x"),
    ],
)
def test_a_declaration_that_a_saved_model_does_not_have_is_said(
    exported: Path, declared: dict[str, Any], message: str
) -> None:
    spec = ModelSpec("m", exported / "module", **declared)
    with pytest.raises(ToolkitError, match=message):
        trace_model(spec, build_model(spec))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: (path / "saved_model.pb").write_bytes(b"\xff" * 100), "does not load: Cannot parse file"),
        (lambda path: shutil.rmtree(path / "variables"), "does not load: Unsuccessful TensorSliceReader"),
        (lambda path: (path / "saved_model.pb").unlink(), "holds no SavedModel"),
    ],
    ids=["other bytes", "no variables", "no graph"],
)
def test_a_damaged_saved_model_is_said_in_one_line(
    exported: Path, project: Path, damage: Callable[[Path], Any], message: str
) -> None:
    copy = Path(shutil.copytree(exported / "keras", project / "damaged"))
    damage(copy)
    with pytest.raises(ToolkitError, match=message) as caught:
        load(copy, project)
    assert "\n" not in caught.value.message
    assert caught.value.exit_code == ExitCode.BAD_INPUT


def test_a_saved_model_without_signatures_is_refused(exported: Path, project: Path) -> None:
    with pytest.raises(ToolkitError, match="has no signatures") as caught:
        load(exported / "bare", project)
    assert "model.export" in caught.value.hint
