"""What TensorFlow Serving's protocols say, as plain data that no transport and no protobuf shows through."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from toolkit.core.tensors import Feed, Outputs

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
