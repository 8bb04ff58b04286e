"""Lists of models that a reload refuses; the numbers are those of the recorded behaviour."""

from collections.abc import Iterator

import pytest

from tests.serving.fakes import BY_HAND, PATIENCE_S, Disk, FakeLoader, answered, serving, wait_for
from toolkit.errors import ServingError
from toolkit.serving.engine import DirectRuns, Engine
from toolkit.serving.library import Library
from toolkit.wire.messages import ModelConfig, ReloadRequest


@pytest.fixture
def served(disk: Disk, load: FakeLoader) -> Iterator[Library]:
    """A server of model a, version 1."""
    disk.publish("a", 1)
    with serving(load, BY_HAND, disk.config("a")) as library:
        yield library


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ([ModelConfig("z", "")], "Expected model z to have an absolute path or URI; got base_path()="),
        ([ModelConfig("z", "rel/z")], "Expected model z to have an absolute path or URI; got base_path()=rel/z"),
        ([ModelConfig("z", "/z", "foo")], "Model z requests unsupported platform foo"),
        (
            [ModelConfig("z", "/z", "")],
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
            "ModelServerConfig::model_platform, model name is z",
        ),
        (
            [ModelConfig("z", "/z", "tensorflow", 1)],
            "Illegal setting both ModelServerConfig::model_type (deprecated) and "
            "ModelServerConfig::model_platform, model name is z",
        ),
        (
            [ModelConfig("a", "/a", "foo")],
            "Illegal to change a model's platform. For model a platform was tensorflow and new platform requested is "
            "foo",
        ),
        (
            [ModelConfig("a", "/a", "foo"), ModelConfig("b", "b")],
            "Expected model b to have an absolute path or URI; got base_path()=b",
        ),
        (
            [ModelConfig("z", "/z", "foo", labels={"stable": 1})],
            "Request to assign label to version 1 of model z, which is not currently available for inference",
        ),
        (
            [ModelConfig("a", "/a", "", labels={"stable": 9})],
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
            "ModelServerConfig::model_platform, model name is a",
        ),
        ([ModelConfig("z", "/z"), ModelConfig("z", "/y")], "Illegal to list model z multiple times in config list"),
        (
            [ModelConfig("z", "/z", labels={"stable": 1})],
            "Request to assign label to version 1 of model z, which is not currently available for inference",
        ),
        (
            None,
            "ServerModelConfig type not supported by HandleReloadConfigRequest. "
            "Only ModelConfigList is currently supported",
        ),
    ],
)
def test_23_a_refused_list_changes_nothing_and_the_next_one_is_taken(
    served: Library, disk: Disk, load: FakeLoader, models: list[ModelConfig] | None, message: str
) -> None:
    engine = Engine(served, DirectRuns())
    disk.publish("b", 1)
    engine.reload(ReloadRequest((disk.config("a", labels={"stable": 1}), disk.config("b"))), PATIENCE_S)
    before = served.configs()
    with pytest.raises(ServingError) as found:
        engine.reload(ReloadRequest(None if models is None else tuple(models)), PATIENCE_S)
    assert found.value.message == message
    assert served.configs() == before
    served.poll()
    assert answered(served, "a", label="stable") == 1
    assert answered(served, "b") == 1
    assert load.began == [("a", 1), ("b", 1)]
    engine.reload(ReloadRequest((disk.config("a"),)), PATIENCE_S)
    wait_for(served, "b", {1: "END"})
