"""What can be plugged in, Format and Runtime, and how a file that ends in one constant is found."""

import importlib
import pkgutil
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Generic, TypeVar

from toolkit.core.exporting import ExportSettings
from toolkit.core.model import TracedModel
from toolkit.core.runner import Runner
from toolkit.core.tensors import Signature
from toolkit.errors import UsageError, nearest

# What a runtime opens that runs no file: the model as built, and its graph.
MODEL, TRACED = "model", "traced"
# The tags of the graph that a SavedModel is served with; it may hold others, to train with.
SERVE = ("serve",)


@dataclass(frozen=True)
class Tensors:
    """What a signature's inputs and outputs are called inside the file."""

    inputs: Mapping[str, str]
    outputs: Mapping[str, str]


@dataclass(frozen=True)
class Opening:
    """What a runtime is asked to open.

    Args:
        path: the artifact's file or directory.
        signature_name: which of its signatures.
        signature: names, dtypes and shapes it must have.
        threads: threads inside one operation; None is the runtime's own choice.
        inter_threads: operations at the same time, where a runtime knows that; None is as many as `threads`.
        url: where a server answers, for a runtime that asks one.
        traced: the model itself, for a runtime that runs no file.
        tags: those of the graph in it that is meant, where it may hold several.
        tensors: the file's own names of what is asked, where the signature is not one of the file's.
    """

    path: Path
    signature_name: str
    signature: Signature
    threads: int | None = None
    url: str = ""
    traced: TracedModel | None = None
    inter_threads: int | None = None
    tensors: Tensors | None = None
    tags: tuple[str, ...] = SERVE


def _no_faults(_: Opening) -> Sequence[str]:
    return ()


def _any_settings(_: ExportSettings) -> None:
    """No setting of this format can be wrong."""


@dataclass(frozen=True)
class Runtime:
    """One way to run artifacts of some formats.

    Args:
        opens: the kinds of what it opens: of artifacts; MODEL and TRACED, which have no file; an endpoint.
        open: gives a Runner, for as long as the context lasts.
        faults: what is wrong with a file that opening and running it may not show; empty when nothing is.
        judges: whether it is one of the runtimes that an artifact must agree in before it is published.
        concurrent: whether one of its runners may be called from several threads at once.
        computes: whether a call of it, given one thread, keeps a core busy from start to end: it waits for nothing.
        libraries: the modules that it needs, which a measured cold start imports first.
    """

    name: str
    opens: tuple[str, ...]
    open: Callable[[Opening], AbstractContextManager[Runner]]
    faults: Callable[[Opening], Sequence[str]] = _no_faults
    judges: bool = True
    concurrent: bool = True
    computes: bool = False
    libraries: tuple[str, ...] = ()


@dataclass(frozen=True)
class Format:
    """One form that a traced model can be written as.

    Args:
        name: the artifact's name, as in `tflite-float16`.
        export: writes into an empty directory, one file per signature (`<signature>.onnx`) or a directory that holds
            them all; gives notes on what was changed to make it possible. Raises UnsupportedError for a model that
            the format cannot hold.
        kind: which runtimes open it (`Runtime.opens`); the format's own name where it has no variants.
        variant: what sets it apart from others of its kind.
        servable: whether a server may answer with it.
        isolated: exported in a child process from the saved graph, since its converter can die or hang.
        memory_factor: free memory it needs, as a multiple of the weights.
        weight_limit_bytes: weights that its file can hold at most; None where there is no limit.
        reads: the fields of ExportSettings that it heeds.
        check: raises UsageError for settings that it cannot heed, before anything is built.
        takes: op types that its converter takes once the graph went through the rewrites; None for all of TensorFlow's.
        lacking: of a GraphDef, the op types that stay with TensorFlow beside its file.
        libraries: the modules that its export needs.
        size_factor: size of its file, as a multiple of the weights.
        calibrated: whether its export reads ranges from the model's calibration data.
        added: of a file of a lossy variant, what it does besides the model's own ops, in words.
    """

    name: str
    export: Callable[[TracedModel, Path], Sequence[str] | None]
    kind: str = ""
    variant: str = ""
    servable: bool = True
    isolated: bool = True
    memory_factor: float = 12.0
    weight_limit_bytes: int | None = None
    reads: tuple[str, ...] = ()
    check: Callable[[ExportSettings], None] = _any_settings
    takes: Callable[[], Collection[str]] | None = None
    lacking: Callable[[Any], Collection[str]] | None = None
    libraries: tuple[str, ...] = ("tensorflow",)
    size_factor: float = 1.0
    calibrated: bool = False
    added: Callable[[Path], Sequence[str]] | None = None

    @property
    def opened_as(self) -> str:
        """What runtimes name in `opens`."""
        return self.kind or self.name


Plugin = TypeVar("Plugin")


class Registry(Generic[Plugin]):
    """The plug-ins of one kind: a file each in a package, and those of other distributions by entry point."""

    def __init__(self, package: str, constant: str, group: str) -> None:
        self._package, self._constant, self._group = package, constant, group

    def names(self) -> list[str]:
        """The names, by file name and entry point, without importing one of them."""
        folder = importlib.import_module(self._package).__path__
        own = (module.name for module in pkgutil.iter_modules(folder) if not module.ispkg)
        return sorted({_spelled(name) for name in own} | {_spelled(point.name) for point in self._points()})

    def load(self, name: str) -> Plugin:
        """The plug-in of that name.

        Raises:
            UsageError: there is none, or its file does not import or does not end in the constant.
        """
        spelled = _spelled(name)
        if spelled not in self.names():
            raise UsageError(f"there is no {self._constant.lower()} '{name}'", hint=nearest(spelled, self.names()))
        point = next((point for point in self._points() if _spelled(point.name) == spelled), None)
        try:
            if point is not None:
                return point.load()
            module: Any = importlib.import_module(f"{self._package}.{spelled.replace('-', '_')}")
            return getattr(module, self._constant)
        except (ImportError, AttributeError, SyntaxError) as error:
            raise UsageError(
                f"the {self._constant.lower()} '{name}' cannot be loaded: {error}",
                hint=f"its file must end in {self._constant} = ...",
            ) from error

    def load_all(self) -> list[Plugin]:
        """Every plug-in, in the order of the names."""
        return [self.load(name) for name in self.names()]

    def _points(self) -> Any:
        return _installed(self._group, tuple(sys.path))


@cache
def _installed(group: str, _path: tuple[str, ...]) -> Any:
    # Every question opens the metadata of all distributions: 7 ms, and a build asks dozens of times.
    return entry_points(group=group)


def _spelled(name: str) -> str:
    # `tflite-float16` lives in tflite_float16.py; `saved_model` is TensorFlow's own spelling.
    return name if name == "saved_model" else name.replace("_", "-")


FORMATS: Registry[Format] = Registry("toolkit.formats", "FORMAT", "tfx_export.formats")
RUNTIMES: Registry[Runtime] = Registry("toolkit.runtimes", "RUNTIME", "tfx_export.runtimes")
