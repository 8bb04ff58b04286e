"""What TensorFlow Serving's protocols say, as plain data that no transport and no protobuf shows through."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from toolkit.core.tensors import Array, Feed, Outputs

DEFAULT_SIGNATURE = "serving_default"


class Protocol(Enum):
    """Which of the two APIs an endpoint speaks."""

    GRPC = "grpc"
    REST = "rest"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a server listens and how to reach it; with a CA, certificate and key for TLS."""

    address: str
    protocol: Protocol
    tls: bool = False
    tls_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    max_message_bytes: int = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Target:
    """Which model, version or label, and signature a request is for; neither version nor label is the latest version.

    An empty signature stands for the default one, as it does on the wire.
    """

    model: str
    version: int | None = None
    label: str | None = None
    signature: str = ""

    @property
    def signature_name(self) -> str:
        """The signature meant, the default one by its name."""
        return self.signature or DEFAULT_SIGNATURE

    def answered_by(self, version: int) -> "Target":
        """The target as an answer names it: the version that answered and the signature by its name."""
        return Target(self.model, version, None, self.signature_name)


@dataclass(frozen=True, slots=True)
class PredictRequest:
    """Named arrays for one signature; an empty output filter asks for all outputs."""

    target: Target
    feed: Feed
    output_filter: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PredictResponse:
    """Named arrays and the target that answered, with its version filled in."""

    target: Target
    outputs: Outputs


@dataclass(frozen=True, slots=True)
class ExamplesRequest:
    """Serialized tf.Examples to classify or regress, each with the request's context in front of it."""

    target: Target
    examples: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class ClassifyResponse:
    """Labels and scores, each [examples, classes]; a model may give only one of them."""

    target: Target
    labels: Array | None
    scores: Array | None


@dataclass(frozen=True, slots=True)
class RegressResponse:
    """A value for each example."""

    target: Target
    values: Array


@dataclass(frozen=True, slots=True)
class Task:
    """One signature to evaluate and its method, by TensorFlow Serving's name of the method."""

    target: Target
    method: str


@dataclass(frozen=True, slots=True)
class MultiRequest:
    """The same examples for several signatures of one model."""

    tasks: tuple[Task, ...]
    examples: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class MultiResponse:
    """An answer for each task."""

    results: tuple[ClassifyResponse | RegressResponse, ...]


@dataclass(frozen=True, slots=True)
class MetadataRequest:
    """What a client wants to know of a model; only signature_def is ever answered."""

    target: Target
    fields: tuple[str, ...] = ("signature_def",)


class Keep(Enum):
    """Which versions of a model a server keeps loaded."""

    LATEST = "latest"
    ALL = "all"
    SPECIFIC = "specific"


@dataclass(frozen=True, slots=True)
class VersionPolicy:
    """Which versions to keep loaded: the latest `count`, all, or those listed."""

    keep: Keep = Keep.LATEST
    count: int = 1
    versions: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """One model of a server's configuration.

    Args:
        name: what clients call it.
        base_path: the directory of its versions.
        platform: what runs it; TensorFlow Serving knows only `tensorflow`.
        model_type: the deprecated number that stood where the platform stands now; 0 where it is not set.
        policy: which versions to keep.
        labels: label to version.
    """

    name: str
    base_path: str
    platform: str = "tensorflow"
    model_type: int = 0
    policy: VersionPolicy = VersionPolicy()
    labels: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReloadRequest:
    """The models a server shall have from now on; None where the request holds no list of models."""

    models: tuple[ModelConfig, ...] | None
    metrics: tuple[str, ...] = ()


class State(Enum):
    """Where one version is in its life; the values are those of the wire."""

    UNKNOWN = 0
    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclass(frozen=True, slots=True)
class VersionStatus:
    """State of one version, with the canonical error code (0 is OK) and message of what went wrong."""

    version: int
    state: State
    error_code: int = 0
    error_message: str = ""


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """State of every known version of a model, newest first."""

    versions: tuple[VersionStatus, ...] = field(default=())

    def states(self) -> Mapping[int, State]:
        """State by version."""
        return {status.version: status.state for status in self.versions}
