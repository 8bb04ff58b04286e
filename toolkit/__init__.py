"""tfx-export: what you serve is what you trained, proven, and you know how fast it is."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from toolkit.api import bench as bench
    from toolkit.api import build as build
    from toolkit.api import compare as compare
    from toolkit.api import connect as connect
    from toolkit.api import deploy as deploy
    from toolkit.api import doctor as doctor
    from toolkit.api import inspect as inspect
    from toolkit.api import load as load
    from toolkit.api import open_artifact as open_artifact
    from toolkit.api import predict as predict
    from toolkit.api import serve as serve
    from toolkit.api import trace as trace
    from toolkit.api import verify as verify
    from toolkit.building.matrix import matrix as matrix
    from toolkit.core.model import ModelSpec as ModelSpec
    from toolkit.core.parity import Tolerance as Tolerance
    from toolkit.core.tensors import Signature as Signature
    from toolkit.core.tensors import TensorSpec as TensorSpec
    from toolkit.errors import ToolkitError as ToolkitError

__version__ = "0.1.0"
# Looked up on first use: `import toolkit` must load neither TensorFlow nor NumPy.
_HOMES = {
    "bench": "toolkit.api",
    "build": "toolkit.api",
    "compare": "toolkit.api",
    "connect": "toolkit.api",
    "deploy": "toolkit.api",
    "doctor": "toolkit.api",
    "inspect": "toolkit.api",
    "load": "toolkit.api",
    "matrix": "toolkit.building.matrix",
    "open_artifact": "toolkit.api",
    "predict": "toolkit.api",
    "serve": "toolkit.api",
    "trace": "toolkit.api",
    "verify": "toolkit.api",
    "ModelSpec": "toolkit.core.model",
    "Tolerance": "toolkit.core.parity",
    "Signature": "toolkit.core.tensors",
    "TensorSpec": "toolkit.core.tensors",
    "ToolkitError": "toolkit.errors",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'toolkit' has no attribute '{name}'")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return [*_HOMES, "__version__"]
