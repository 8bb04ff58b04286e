"""A SavedModel may hold several graphs: the one is loaded that has exactly the tags asked for."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toolkit.errors import Fault, ServingError, ToolkitError
from toolkit.serving.loading import Loader
from toolkit.serving.servables import Loading
from toolkit.serving.settings import settings_of
from toolkit.wire import protos
from toolkit.wire.messages import ModelConfig

MODELS = Path(__file__).parents[1] / "golden" / "data" / "models"
MISSING = (
    "Could not find meta graph def matching supplied tags: {{ {} }}. To inspect available tag-sets in the SavedModel, "
    "please use the SavedModel CLI: `saved_model_cli`"
)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Half plus two under `serve`; under `serve` and `fast` too, where its signature has another name."""
    shutil.copytree(MODELS / "saved_model_half_plus_two_cpu" / "00000123", tmp_path / "1")
    change(tmp_path / "1", add_graph)
    return tmp_path / "1"


def change(directory: Path, what: Any) -> None:
    path = directory / "saved_model.pb"
    saved = protos.parse(protos.SavedModel, path.read_bytes())
    what(saved)
    path.write_bytes(saved.SerializeToString())


def add_graph(saved: Any) -> None:
    added = saved.meta_graphs.add()
    added.CopyFrom(saved.meta_graphs[0])
    added.meta_info_def.tags.append("fast")
    added.signature_def["quick"].CopyFrom(added.signature_def["serving_default"])
    del added.signature_def["serving_default"]


def loader(tags: str) -> Any:
    return settings_of({"saved_model_tags": tags}, [ModelConfig("m", "/m")]).loader


@pytest.mark.parametrize(
    ("tags", "signature"),
    [("serve", "serving_default"), ("", "serving_default"), ("serve,fast", "quick"), ("fast,serve,fast", "quick")],
)
def test_the_graph_with_exactly_these_tags_answers(model: Path, tags: str, signature: str) -> None:
    servable = loader(tags)("m", 1, model)
    other = ({"serving_default", "quick"} - {signature}).pop()
    assert signature in servable.signatures
    assert other not in servable.signatures
    assert servable.run(signature, {"x": np.array([4.0], np.float32)})["y"].tolist() == [4.0]
    servable.close()


@pytest.mark.parametrize(
    ("tags", "told"), [("fast", "fast"), ("serve,fast,more", "serve fast more"), ("serve,", "serve ")]
)
def test_other_tags_fail_the_load_in_tensorflows_words(model: Path, tags: str, told: str) -> None:
    with pytest.raises(ToolkitError) as found:
        loader(tags)("m", 1, model)
    assert (found.value.message, found.value.fault) == (MISSING.format(told), Fault.NOT_FOUND)


def test_a_graph_that_is_tagged_serve_and_more_is_not_the_one_tagged_serve(model: Path) -> None:
    change(model, lambda saved: saved.meta_graphs[0].meta_info_def.tags.append("gpu"))
    with pytest.raises(ToolkitError) as found:
        Loader()("m", 1, model)
    assert found.value.message == MISSING.format("serve")


def test_only_the_graph_that_is_loaded_has_to_be_safe(model: Path) -> None:
    change(model, lambda saved: saved.meta_graphs[1].graph_def.node.add(name="steal", op="ReadFile", input=["path"]))
    Loader()("m", 1, model).close()
    with pytest.raises(ServingError, match="is not safe to serve: ReadFile"):
        Loader(Loading(tags=("serve", "fast")))("m", 1, model)
