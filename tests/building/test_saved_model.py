"""What TensorFlow Serving gets: each variable once, everything inside, nothing of this machine, warm-up requests."""

import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import prediction_log_pb2

from tests.building.small_models import DENSE, GROUPED, TRAINED, trained, words
from toolkit import ModelSpec, open_artifact
from toolkit.building.pipeline import Outcome
from toolkit.core.artifact import GOLDEN, read_manifest
from toolkit.core.golden import read_golden
from toolkit.core.parity import DEFAULT_TOLERANCES, EXACT
from toolkit.core.plugins import RUNTIMES, Opening
from toolkit.verifying.compare import compare

Built = Callable[[ModelSpec], Outcome]
PLACES = re.compile(
    rb"(?:/tmp|/home|/root|/work|/Users|/var|%b|%b)/" % (tempfile.gettempdir().encode(), str(Path.home()).encode())
)


@pytest.fixture(scope="module")
def served(
    built: Built, shipped: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """The bundle of a model by its name; the vocabulary file that one was made from is gone."""
    vocabulary = tmp_path_factory.mktemp("vocabulary") / "words.txt"
    specs = {spec.name: spec for spec in (DENSE, TRAINED, GROUPED, words(vocabulary))}

    def bundle(name: str) -> Path:
        if name not in specs:
            return shipped(name)
        outcome = built(specs[name])
        assert outcome.bundle is not None, outcome.error
        vocabulary.unlink(missing_ok=True)
        return outcome.bundle

    return bundle


NAMES = ["dense", "trained", "grouped", "words", "tabular"]


def meta_graph_of(bundle: Path) -> Any:
    saved = saved_model_pb2.SavedModel.FromString((bundle / "saved_model" / "saved_model.pb").read_bytes())
    return saved.meta_graphs[0]


def test_each_variable_is_there_once_and_no_state_of_an_optimizer(served: Callable[[str], Path]) -> None:
    model = trained()
    weights = sum(np.asarray(variable).nbytes for variable in model.weights)
    state = sum(np.asarray(variable).nbytes for variable in model.optimizer.variables)
    written = (served("trained") / "saved_model" / "variables" / "variables.data-00000-of-00001").stat().st_size
    assert state > weights
    assert weights <= written <= 1.02 * weights


@pytest.mark.parametrize("name", NAMES)
def test_nothing_of_this_machine_is_in_it(name: str, served: Callable[[str], Path]) -> None:
    folder = served(name) / "saved_model"
    for file in ("saved_model.pb", "fingerprint.pb", "variables/variables.index"):
        assert PLACES.findall((folder / file).read_bytes()) == [], file


@pytest.mark.parametrize("name", NAMES)
def test_nothing_in_it_must_be_compiled(name: str, served: Callable[[str], Path]) -> None:
    assert b"_XlaMustCompile" not in (served(name) / "saved_model" / "saved_model.pb").read_bytes()


def test_what_was_cleared_is_told(served: Callable[[str], Path]) -> None:
    artifact = read_manifest(served("grouped")).artifact("saved_model")
    assert artifact is not None
    assert any("_XlaMustCompile" in note for note in artifact.notes)


@pytest.mark.parametrize("name", ["words", "tabular"])
@pytest.mark.parametrize("runtime", ["saved_model", "restored"])
def test_tables_and_their_files_are_inside_so_that_it_works_anywhere(
    name: str, runtime: str, served: Callable[[str], Path], tmp_path: Path
) -> None:
    bundle = served(name)
    manifest = read_manifest(bundle)
    moved = tmp_path / "elsewhere"
    shutil.copytree(bundle / "saved_model", moved)
    cases = read_golden(bundle / GOLDEN, manifest.signatures)
    for signature, declared in manifest.signatures.items():
        with RUNTIMES.load(runtime).open(Opening(moved, signature, declared)) as runner:
            for case in (case for case in cases if case.signature == signature):
                found = runner.run(case.feed)
                for output, expected in case.outputs.items():
                    limit = DEFAULT_TOLERANCES.get(declared.outputs[output].dtype, EXACT)
                    assert compare(output, expected, found[output], limit).problem == ""


def test_a_vocabulary_file_is_an_asset(served: Callable[[str], Path]) -> None:
    bundle = served("words")
    assert {asset.filename for asset in meta_graph_of(bundle).asset_file_def} == {"words.txt"}
    assert (bundle / "saved_model" / "assets" / "words.txt").read_text().split() == ["alpha", "beta", "gamma", "delta"]


@pytest.mark.parametrize("name", NAMES)
def test_warm_up_requests_are_real_ones_of_the_usual_batch_sizes(name: str, served: Callable[[str], Path]) -> None:
    bundle = served(name)
    manifest = read_manifest(bundle)
    path = bundle / "saved_model" / "assets.extra" / "tf_serving_warmup_requests"
    records = [record.numpy() for record in tf.data.TFRecordDataset(str(path))]
    logs = [prediction_log_pb2.PredictionLog.FromString(record) for record in records]
    assert 0 < len(records) <= 1000
    asked: dict[str, list[int]] = {}
    for log in logs:
        request = log.predict_log.request
        inputs = {key: tf.make_ndarray(tensor) for key, tensor in request.inputs.items()}
        declared = manifest.signatures[request.model_spec.signature_name].inputs
        assert request.model_spec.name == manifest.model
        assert {key: spec.fits(inputs[key].shape) for key, spec in declared.items()} == dict.fromkeys(inputs, True)
        asked.setdefault(request.model_spec.signature_name, []).append(next(iter(inputs.values())).shape[0])
    assert asked == {signature: [1, 8, 32] for signature in manifest.signatures}


def test_signatures_say_their_method_and_keep_their_names(served: Callable[[str], Path]) -> None:
    bundle = served("tabular")
    signatures = read_manifest(bundle).signatures
    assert {signature.method for signature in signatures.values()} == {"predict", "classify", "regress"}
    found = meta_graph_of(bundle).signature_def
    for name, signature in signatures.items():
        assert found[name].method_name == f"tensorflow/serving/{signature.method}"
        assert set(found[name].inputs) == set(signature.inputs)
        assert set(found[name].outputs) == set(signature.outputs)


@pytest.mark.parametrize("name", ["dense", "trained", "mlp", "detector"])
def test_names_and_dtypes_are_the_same_in_every_format(name: str, served: Callable[[str], Path]) -> None:
    manifest = read_manifest(served(name))
    assert [artifact.parity.status for artifact in manifest.artifacts] == ["pass"] * 3
    for artifact in manifest.artifacts:
        for signature, wanted in manifest.signatures.items():
            with open_artifact(served(name), artifact.name, signature) as runner:
                found = runner.signature
            for side in ("inputs", "outputs"):
                named = {key: spec.dtype for key, spec in getattr(found, side).items()}
                assert named == {key: spec.dtype for key, spec in getattr(wanted, side).items()}, artifact.name


def test_onnx_calls_the_batch_by_its_name(served: Callable[[str], Path]) -> None:
    import onnx

    graph = onnx.load(served("dense") / "onnx" / "serving_default.onnx").graph
    shapes = {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output)
    }
    assert shapes == {"x": ["batch", 2], "y": ["batch", 2]}
    assert b"unk__" not in (served("dense") / "onnx" / "serving_default.onnx").read_bytes()
