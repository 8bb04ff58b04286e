"""Which models a server has: TensorFlow Serving's model config, as text or protobuf, to plain data and back."""

import re
from collections.abc import Sequence

from toolkit.wire import lifecycle_wording as wording
from toolkit.wire import protos
from toolkit.wire.messages import Keep, ModelConfig, VersionPolicy
from toolkit.wire.protos import Message

TENSORFLOW = "tensorflow"
_TENSORFLOW_TYPE = 1
LOCAL = "file://"
_URI = re.compile(r"[A-Za-z][A-Za-z0-9.]*://")


def read_config_text(text: str) -> tuple[ModelConfig, ...] | None:
    """The models of a --model_config_file; None where it holds no list of models.

    Raises:
        WireError: the text is no config; says where.
    """
    return read_models(protos.parse_text(protos.ModelServerConfig, text))


def says_nothing(text: str) -> bool:
    """Whether a --model_config_file holds neither a list of models nor anything in its place.

    Raises:
        WireError: the text is no config; says where.
    """
    return protos.parse_text(protos.ModelServerConfig, text).WhichOneof("config") is None


def read_models(proto: Message) -> tuple[ModelConfig, ...] | None:
    """The models of a ModelServerConfig; None where it holds no list of models."""
    if proto.WhichOneof("config") != "model_config_list":
        return None
    return tuple(
        ModelConfig(
            config.name,
            config.base_path,
            config.model_platform,
            config.model_type,
            _policy(config.model_version_policy),
            dict(config.version_labels),
        )
        for config in proto.model_config_list.config
    )


def _policy(proto: Message) -> VersionPolicy:
    choice = proto.WhichOneof("policy_choice")
    if choice == "all":
        return VersionPolicy(Keep.ALL)
    if choice == "specific":
        return VersionPolicy(Keep.SPECIFIC, versions=tuple(proto.specific.versions))
    # No number means one, as no policy does.
    return VersionPolicy(Keep.LATEST, proto.latest.num_versions or 1)


def write_config_text(models: Sequence[ModelConfig]) -> str:
    """The models as the text of a --model_config_file."""
    proto = protos.ModelServerConfig()
    fill_models(proto, models)
    return protos.text_of(proto)


def fill_models(proto: Message, models: Sequence[ModelConfig]) -> None:
    """Writes models into a ModelServerConfig."""
    proto.model_config_list.SetInParent()
    for model in models:
        config = proto.model_config_list.config.add(
            name=model.name,
            base_path=model.base_path,
            model_platform=model.platform,
            model_type=model.model_type,
            version_labels=model.labels,
        )
        policy = config.model_version_policy
        if model.policy.keep is Keep.ALL:
            policy.all.SetInParent()
        elif model.policy.keep is Keep.SPECIFIC:
            policy.specific.SetInParent()
            policy.specific.versions.extend(model.policy.versions)
        elif model.policy.count != 1:
            policy.latest.num_versions = model.policy.count


def check_models(models: Sequence[ModelConfig]) -> None:
    """Refuses a first list of models that the real server refuses, for the same reason and in the same order.

    Raises:
        ServingError: in the server's words.
    """
    check_list(models)
    check_platforms(models)


def check_list(models: Sequence[ModelConfig], before: Sequence[ModelConfig] = ()) -> None:
    """What ServerCore::ReloadConfig looks at before it looks at labels.

    Args:
        models: the list to come.
        before: the list that it replaces; a model in both keeps its platform.

    Raises:
        ServingError: in the server's words.
    """
    seen: set[str] = set()
    for model in models:
        if model.name in seen:
            raise wording.listed_twice(model.name)
        seen.add(model.name)
    for model in models:
        if not model.base_path.startswith("/") and not _URI.match(model.base_path):
            raise wording.relative_path(model.name, model.base_path)
    known = {model.name: platform_of(model) for model in before}
    for model in models:
        if model.name in known and (platform := platform_of(model)) != known[model.name]:
            raise wording.platform_changed(model.name, known[model.name], platform)


def check_platforms(models: Sequence[ModelConfig], platforms: Sequence[str] = (TENSORFLOW,)) -> None:
    """What it looks at after the labels; then, as ours, places that only the real server reaches.

    It would be waited for what nobody looks for.

    Raises:
        ServingError: in the server's words.
    """
    for model in models:
        platform = platform_of(model)
        if platform not in platforms:
            raise wording.unsupported_platform(model.name, platform)
    for model in models:
        if not model.base_path.removeprefix(LOCAL).startswith("/"):
            raise wording.not_local(model.name, model.base_path)


def platform_of(model: ModelConfig) -> str:
    """The platform of a model, be it named or given by the deprecated number.

    Raises:
        ServingError: it has neither or both; in the server's words.
    """
    if model.model_type and model.platform:
        raise wording.two_platforms(model.name)
    if model.model_type and model.model_type != _TENSORFLOW_TYPE:
        raise wording.unsupported_type(model.model_type)
    if not model.model_type and not model.platform:
        raise wording.no_platform(model.name)
    return model.platform or TENSORFLOW
