"""A models.config that is ours: one entry edited, the others as they stand, and what is not ours to move refused."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.deploying.conftest import times, watched
from toolkit.deploying.canary import ConfigRollout
from toolkit.deploying.config_file import CANARY, STABLE, ConfigFile
from toolkit.deploying.deployment import Plan, deploy
from toolkit.deploying.layout import Layout
from toolkit.errors import UsageError, WireError
from toolkit.serving.host import Host

Make = Callable[..., Path]
PlanOf = Callable[..., Plan]


def test_other_models_stand_in_the_file_as_before(layout: Layout, config: ConfigFile) -> None:
    entry = config.read(layout)
    config.write(layout, entry.having((1, 2), {STABLE: 1, CANARY: 2}))
    text = config.path.read_text()
    assert "sampling_rate: 0.5" in text
    assert text.index('"other"') < text.index('"times"')
    assert config.read(Layout(layout.base, "other")).versions == (4,)
    assert (config.read(layout).versions, config.read(layout).labels) == ((1, 2), {STABLE: 1, CANARY: 2})


def test_an_empty_file_is_a_list_without_models(tmp_path: Path, layout: Layout) -> None:
    path = tmp_path / "models.config"
    path.touch()
    config = ConfigFile(path)
    entry = config.read(layout)
    config.write(layout, entry.having((1,), {STABLE: 1}))
    assert config.read(layout).labels == {STABLE: 1}
    config.write(layout, entry)
    assert path.read_text().replace("\n", "") == "model_config_list {}"


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        (lambda layout: f"model_config_list {{ {times(layout, 'latest {}')} }}", UsageError, "at once"),
        (
            lambda layout: f"model_config_list {{ {times(Layout(layout.base / 'x', 'times'))} }}",
            UsageError,
            "not at",
        ),
        (lambda layout: "custom_model_config {}", UsageError, "custom config"),
        (
            lambda layout: "model_config_list {",
            WireError,
            r"--config .*models\.config: the text is no ModelServerConfig",
        ),
        (None, UsageError, "No such file"),
    ],
)
def test_a_file_that_is_not_ours_to_move_is_refused_before_anything_is_published(
    layout: Layout,
    ungated: PlanOf,
    bundle: Make,
    production: Callable[..., Host],
    *,
    text: Callable[[Layout], str] | None,
    error: type[Exception],
    said: str,
) -> None:
    path = layout.base.parent / "models.config"
    if text is not None:
        path.write_text(text(layout))
    with pytest.raises(error, match=said):
        deploy(ungated(bundle(), rollout=ConfigRollout(ConfigFile(path), watched(production()))))
    assert layout.versions() == []
