"""The shipped models of text and tables come out in every format, and run everywhere as any other bundle does."""

from collections.abc import Callable
from pathlib import Path

import pytest

from toolkit.building.targets import open_path
from toolkit.core.artifact import GOLDEN, read_manifest
from toolkit.core.golden import read_golden
from toolkit.core.split import read_split
from toolkit.errors import ServingError
from toolkit.serving.fastest import open_fastest
from toolkit.serving.loading import Loader
from toolkit.serving.servables import Loading, load_servable
from toolkit.verifying.bundle import check_files
from toolkit.wire.protos import SavedModel

Shipped = Callable[[str], Path]
FORMATS = ("tflite", "onnx")
BOTH = [(name, kind) for name in ("text", "tabular") for kind in FORMATS]


@pytest.mark.parametrize(("name", "kind"), BOTH)
def test_it_is_proven_in_both_formats_and_says_what_was_split(shipped: Shipped, name: str, kind: str) -> None:
    manifest = check_files(shipped(name))
    artifact = manifest.artifact(kind)
    assert artifact is not None
    assert artifact.parity.status == "pass", artifact.parity.reason
    assert list(artifact.paths) == list(manifest.signatures)
    for signature in manifest.signatures:
        note = next(note for note in artifact.notes if note.startswith(f"'{signature}' is split"))
        split = read_split(shipped(name) / artifact.paths[signature])
        assert split is not None
        assert all(f"{cut} {spec}" in note for cut, spec in split.cut.items())
    assert f"{kind}/tensorflow/saved_model.pb" in artifact.files


def test_the_served_saved_model_has_the_signatures_of_the_model_and_no_more(shipped: Shipped) -> None:
    content = (shipped("tabular") / "saved_model" / "saved_model.pb").read_bytes()
    found = set(SavedModel.FromString(content).meta_graphs[0].signature_def)
    assert found - {"__saved_model_init_op"} == {"serving_default", "classify", "regress"}


def test_the_parts_around_a_file_are_named_after_their_signatures(shipped: Shipped) -> None:
    content = (shipped("tabular") / "tflite" / "tensorflow" / "saved_model.pb").read_bytes()
    found = set(SavedModel.FromString(content).meta_graphs[0].signature_def)
    fronts = {"preprocess", "preprocess_classify", "preprocess_regress"}
    assert found - {"__saved_model_init_op"} == {*fronts, "postprocess_classify"}


@pytest.mark.parametrize("kind", [*FORMATS, "fastest"])
def test_it_is_served_like_any_other(shipped: Shipped, kind: str) -> None:
    bundle = shipped("tabular")
    loading = Loading(kind)
    opened = open_fastest(bundle, loading, allow_lossy=False) if kind == "fastest" else load_servable(bundle, loading)
    try:
        for case in read_golden(bundle / GOLDEN, read_manifest(bundle).signatures):
            found = opened.run(case.signature, case.feed)
            assert set(found) == set(case.outputs)
            if "classes" in found:
                assert found["classes"].tolist() == case.outputs["classes"].tolist()
    finally:
        opened.close()


def test_a_file_of_a_bundle_is_opened_with_what_belongs_to_it(shipped: Shipped) -> None:
    opened = open_path(shipped("text") / "onnx" / "serving_default.onnx", None, None)
    assert opened.golden_feed is not None
    with opened.runner as runner:
        assert set(runner.signature.inputs) == {"text"}
        assert set(runner.run(opened.golden_feed)) == {"probabilities"}


def test_what_runs_beside_a_file_is_held_against_unsafe_ops(shipped: Shipped, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[Path] = []

    def look(path: Path, _: object) -> None:
        looked.append(path.relative_to(shipped("text")))
        if path.parent.name == "tensorflow":
            raise ServingError("unsafe", hint="leave it")

    monkeypatch.setattr("toolkit.serving.loading.refuse_unsafe", look)
    with pytest.raises(ServingError, match="unsafe"):
        Loader(Loading("tflite"))("text", 1, shipped("text"))
    assert looked[-1].name == "saved_model.pb"
