"""Labels: names that stand for versions, such as `stable` and `canary`."""

from collections.abc import Mapping, Sequence

from toolkit.serving.versions import ModelVersions
from toolkit.wire import lifecycle_wording, wording
from toolkit.wire.messages import ModelConfig


class Labels:
    """Label to version, by model; the caller holds the lock of the library."""

    def __init__(self, allow_unavailable: bool) -> None:  # one switch, named by the flag it comes from
        self._allow_unavailable = allow_unavailable
        self._versions: dict[str, Mapping[str, int]] = {}

    def version(self, model: str, label: str) -> int:
        """The version that a label stands for.

        Raises:
            ServingError: there is no such label; the same for a model that does not exist, as the real server says it.
        """
        found = self._versions.get(model, {}).get(label)
        if found is None:
            raise wording.unknown_label(label)
        return found

    def preset(self, model: ModelConfig) -> None:
        """Takes a model's labels before its versions are loaded, at the start of the server."""
        self._versions[model.name] = dict(model.labels)

    def check(self, models: Sequence[ModelConfig], loaded: Mapping[str, ModelVersions]) -> None:
        """Refuses labels that name versions which are not AVAILABLE.

        Where it was allowed, a label may that is new or stays where it is, but not one that is moved; else none may,
        not even where it stood before (ServerCore::UpdateModelVersionLabelMap).

        Raises:
            ServingError: in TensorFlow Serving's words.
        """
        for model in models:
            before = self._versions.get(model.name, {})
            for label, version in model.labels.items():
                versions = loaded.get(model.name)
                if versions is not None and versions.available(version) is not None:
                    continue
                if self._allow_unavailable and before.get(label, version) == version:
                    continue
                raise lifecycle_wording.label_to_unavailable(version, model.name)

    def assign(self, models: Sequence[ModelConfig]) -> None:
        """Replaces all labels."""
        self._versions = {model.name: dict(model.labels) for model in models}
