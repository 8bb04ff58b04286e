"""What `serve` may be pointed at: a folder of bundles, a model's versions, one version with or without a number."""

from pathlib import Path

import pytest

from toolkit.errors import CatalogError
from toolkit.serving.places import models_at
from toolkit.wire.messages import Keep


def saved_model(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "saved_model.pb").touch()
    return folder


def test_a_folder_of_versions_is_a_model_with_its_newest(tmp_path: Path) -> None:
    saved_model(tmp_path / "net" / "1")
    saved_model(tmp_path / "net" / "002")
    with models_at(tmp_path / "net") as (model,):
        assert (model.name, model.base_path, model.policy.keep) == ("net", str(tmp_path / "net"), Keep.LATEST)


def test_one_version_of_them_is_that_one(tmp_path: Path) -> None:
    saved_model(tmp_path / "net" / "1")
    saved_model(tmp_path / "net" / "002")
    with models_at(tmp_path / "net" / "1") as (model,):
        assert (model.name, model.policy.keep, model.policy.versions) == ("net", Keep.SPECIFIC, (1,))


def test_a_version_without_a_number_is_version_one_of_its_own_name(tmp_path: Path) -> None:
    folder = saved_model(tmp_path / "export")
    with models_at(folder) as (model,):
        assert model.name == "export"
        assert (Path(model.base_path) / "1" / "saved_model.pb").is_file()
    assert not Path(model.base_path).exists()
    assert (folder / "saved_model.pb").is_file()


def test_a_folder_of_bundles_is_a_model_each(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / name / "1").mkdir(parents=True)
        (tmp_path / name / "1" / "manifest.json").touch()
    (tmp_path / "empty").mkdir()
    with models_at(tmp_path) as models:
        assert [model.name for model in models] == ["a", "b"]


@pytest.mark.parametrize("name", ["empty", "missing"])
def test_where_nothing_can_be_served_the_error_says_what_can(name: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(CatalogError, match="there is nothing to serve in"), models_at(tmp_path / name):
        pass
