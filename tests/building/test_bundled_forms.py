"""Unusual forms of model come through to artifacts that answer as they do, under the names that their authors gave."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from toolkit.building.catalog import resolve_object
from toolkit.building.pipeline import Options, build_bundle
from toolkit.building.targets import open_path
from toolkit.core.artifact import Manifest
from toolkit.core.model import ModelSpec
from toolkit.core.tensors import Signature, TensorSpec

if TYPE_CHECKING:
    from toolkit.building.isolate import Isolated

ROW = TensorSpec("float32", (None, 2))
Build = Callable[[ModelSpec], tuple[Manifest, Path]]


@pytest.fixture
def build(child: "Isolated", tmp_path: Path) -> Build:
    """Publishes a spec."""

    def build_spec(spec: ModelSpec) -> tuple[Manifest, Path]:
        outcome = build_bundle(resolve_object(spec), Options(tmp_path), child, lambda _: None)
        assert outcome.bundle is not None, outcome.error
        return outcome.manifest, outcome.bundle

    return build_spec


def statuses(manifest: Manifest) -> dict[str, str]:
    return {artifact.name: artifact.parity.status for artifact in manifest.artifacts}


EVERYWHERE = {"saved_model": "pass", "onnx": "pass", "tflite": "pass"}


def test_names_are_the_same_in_every_format(build: Build) -> None:
    inputs = ["X", "x1", "inputs", "camelCase", "name"]
    outputs = ["a b", "7", "ü", "a/b:0", "_x", "class", "out#bytes", "X", "x1"]

    def call(_: Any, **tensors: Any) -> Any:
        return {name: sum(tensors.values()) * float(at) for at, name in enumerate(outputs)}

    signature = Signature(dict.fromkeys(inputs, ROW), call=call)
    manifest, bundle = build(ModelSpec("names", object, signatures={"serving_default": signature}))
    assert statuses(manifest) == EVERYWHERE
    assert sorted(manifest.signatures["serving_default"].inputs) == sorted(inputs)
    for artifact in EVERYWHERE:
        with open_path(bundle, artifact, None).runner as runner:
            found = runner.run({name: np.full((1, 2), at, np.float32) for at, name in enumerate(inputs)})
        assert {name: value.tolist() for name, value in found.items()} == {
            name: [[10.0 * at, 10.0 * at]] for at, name in enumerate(outputs)
        }


def test_a_keras_dict_model_with_a_stranger_among_its_names_is_asked_by_them(build: Build) -> None:
    import keras

    def network() -> Any:
        one, two = keras.Input((2,), name="petal-length"), keras.Input((2,), name="class")
        return keras.Model([one, two], [keras.layers.Subtract(name="the-difference")([one, two]), two])

    manifest, bundle = build(ModelSpec("keras", network))
    assert statuses(manifest) == EVERYWHERE
    feed = {"petal_length": np.ones((1, 2), np.float32), "class_": np.zeros((1, 2), np.float32)}
    for artifact in EVERYWHERE:
        with open_path(bundle, artifact, None).runner as runner:
            assert runner.run(feed)["the_difference"].tolist() == [[1.0, 1.0]]


def test_an_unknown_rank_stays_open(build: Build) -> None:
    spec = TensorSpec("float32", None)
    manifest, bundle = build(ModelSpec("rank", lambda: lambda x: {"y": 2 * x}, inputs={"x": spec}))
    assert manifest.signatures["serving_default"].inputs["x"].shape is None
    with open_path(bundle, "saved_model", None).runner as runner:
        assert runner.run({"x": np.ones((1, 1, 3), np.float32)})["y"].tolist() == [[[2.0, 2.0, 2.0]]]


def test_ragged_and_sparse_inputs_are_served_as_their_parts(build: Build) -> None:
    import tensorflow as tf

    inputs = {
        "words": tf.RaggedTensorSpec((None, None), tf.int64),
        "counts": tf.SparseTensorSpec((None, 3), tf.float32),
    }

    def call(words: Any, counts: Any) -> Any:
        return {"words": words + 1, "dense": tf.sparse.to_dense(counts)}

    manifest, bundle = build(ModelSpec("composite", lambda: call, inputs=inputs))
    assert statuses(manifest)["saved_model"] == "pass"
    feed = {
        "words_values": np.array([1, 2, 3]),
        "words_row_splits": np.array([0, 2, 3]),
        "counts_indices": np.array([[0, 1]]),
        "counts_values": np.array([5.0], np.float32),
        "counts_dense_shape": np.array([2, 3]),
    }
    with open_path(bundle, "saved_model", None).runner as runner:
        found = {name: value.tolist() for name, value in runner.run(feed).items()}
    assert found == {
        "words_values": [2, 3, 4],
        "words_row_splits": [0, 2, 3],
        "dense": [[0.0, 5.0, 0.0], [0.0, 0.0, 0.0]],
    }


def test_a_trained_keras_model_is_saved_without_its_optimizer(build: Build) -> None:
    import keras
    import tensorflow as tf

    def trained() -> Any:
        network = keras.Sequential([keras.Input((2,), name="x"), keras.layers.Dense(3, name="y")])
        network.compile("adam", "mse")
        network.fit(np.ones((8, 2), np.float32), np.ones((8, 3)), verbose=0)
        return network

    manifest, bundle = build(ModelSpec("trained", trained))
    assert statuses(manifest) == EVERYWHERE
    saved = tf.train.list_variables(str(bundle / "saved_model/variables/variables"))
    assert sorted(shape for name, shape in saved if name != "_CHECKPOINTABLE_OBJECT_GRAPH") == [[2, 3], [3]]


def test_a_saved_model_of_another_program_is_proven_against_itself(build: Build, tmp_path: Path) -> None:
    import keras

    image = keras.Input((2,), name="image")
    keras.Model(image, keras.layers.Dense(3)(image)).export(tmp_path / "theirs", verbose=False)
    manifest, _ = build(ModelSpec("theirs", tmp_path / "theirs"))
    assert manifest.to_json()["source"]["baseline"] == "restored"
    assert statuses(manifest) == EVERYWHERE
    assert sorted(manifest.signatures) == ["serve", "serving_default"]
    assert list(manifest.signatures["serving_default"].inputs) == ["image"]
