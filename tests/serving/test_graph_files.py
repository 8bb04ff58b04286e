"""A SavedModel may be written as text: it is served, and held against unsafe ops, as the binary one is."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from toolkit.errors import ServingError, ToolkitError
from toolkit.serving.loading import Loader
from toolkit.serving.places import models_at
from toolkit.serving.servables import Loading, load_servable
from toolkit.wire import protos

HALF_PLUS_TWO = Path(__file__).parents[1] / "golden/data/models/saved_model_half_plus_two_cpu/00000123"
X = {"x": np.array([4.0], np.float32)}


@pytest.fixture
def as_text(tmp_path: Path) -> Path:
    """Half plus two as text alone."""
    model = tmp_path / "half" / "1"
    shutil.copytree(HALF_PLUS_TWO, model)
    saved = protos.parse(protos.SavedModel, (model / "saved_model.pb").read_bytes())
    (model / "saved_model.pbtxt").write_text(protos.text_of(saved))
    (model / "saved_model.pb").unlink()
    return model


def test_a_saved_model_as_text_answers(as_text: Path) -> None:
    servable = Loader()("half", 1, as_text)
    assert servable.run("serving_default", X)["y"].tolist() == [4.0]
    servable.close()
    with models_at(as_text.parent) as models:
        assert [model.base_path for model in models] == [str(as_text.parent)]


def test_the_binary_one_counts_where_there_are_both(as_text: Path) -> None:
    (as_text / "saved_model.pbtxt").write_text("nonsense")
    shutil.copy(HALF_PLUS_TWO / "saved_model.pb", as_text)
    load_servable(as_text, Loading()).close()


@pytest.mark.parametrize("content", [b"nonsense", b"\xff\xfe"])
def test_what_is_no_saved_model_is_refused(as_text: Path, content: bytes) -> None:
    (as_text / "saved_model.pbtxt").write_bytes(content)
    with pytest.raises(ToolkitError, match="is no"):
        Loader()("half", 1, as_text)


def test_text_has_to_be_safe_too_wherever_it_lies(as_text: Path) -> None:
    file = as_text / "saved_model.pbtxt"
    text = file.read_text().replace("graph_def {", 'graph_def { node { name: "steal" op: "ReadFile" }', 1)
    file.write_text(text)
    with pytest.raises(ServingError, match="is not safe to serve: ReadFile"):
        Loader()("half", 1, as_text)
    below = as_text / "onnx" / "tensorflow"  # where a bundle's parts are
    below.mkdir(parents=True)
    file.rename(below / file.name)
    shutil.copy(HALF_PLUS_TWO / "saved_model.pb", as_text)
    with pytest.raises(ServingError, match="is not safe to serve: ReadFile"):
        Loader()("half", 1, as_text)
