"""How a server loads one version: refuses unsafe ops, opens the wanted or the fastest artifact, and warms it up."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from toolkit.core.artifact import MANIFEST
from toolkit.core.plugins import SERVE
from toolkit.errors import Fault, ServingError
from toolkit.graphs.assets import asset_files, strays_of
from toolkit.graphs.unsafe import reaches_of
from toolkit.serving.fastest import FASTEST, FastestServable, open_fastest
from toolkit.serving.graph_files import graph_file, graph_files, read_graph
from toolkit.serving.scheme import Scheme
from toolkit.serving.servables import (
    BATCHING_FILE,
    Loading,
    OpenedServable,
    Servable,
    load_servable,
)
from toolkit.serving.warmup import warm_up
from toolkit.wire import lifecycle_wording
from toolkit.wire.settings import BatchingParameters, read_batching

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Loader:
    """Loads versions; callable as the library wants it.

    Args:
        loading: runtime and threads.
        warm_up: whether recorded requests are replayed before a version is AVAILABLE.
        iterations: how often each of them.
        allow_unsafe: load graphs that touch files, run Python or open the network.
        allow_lossy: let quantized artifacts answer too.
        own_batching: read the batching parameters that a version brings along.
    """

    loading: Loading = field(default_factory=Loading)
    warm_up: bool = True
    iterations: int = 1
    allow_unsafe: bool = False
    allow_lossy: bool = False
    own_batching: bool = False

    def __call__(self, name: str, version: int, directory: Path) -> Servable:
        """The servable of a version.

        Raises:
            ToolkitError: it does not load, is not safe, or does not run its warm-up requests.
        """
        if directory.is_file():
            raise lifecycle_wording.version_is_a_file(name, version, str(directory))
        places = (directory, directory / "saved_model")
        home = next((path for path in places if graph_file(path) is not None), directory)
        if not self.allow_unsafe:
            # Not the one SavedModel alone: what a format lacks is a small one beside its files, and runs with them.
            for graph in graph_files(directory):
                refuse_unsafe(graph, self.loading.tags)
        own = self._own_batching(directory)
        servable = self._open(directory)
        try:
            servable.batching = own
            count = warm_up(servable, home, self.iterations) if self.warm_up else 0
        except BaseException:
            servable.close()
            raise
        log.info("loaded %s version %d as %s, %d warm-up requests", name, version, servable.artifact, count)
        return servable

    def _own_batching(self, directory: Path) -> BatchingParameters | None:
        file = directory / BATCHING_FILE
        if not self.own_batching or not file.is_file():
            return None
        parameters = read_batching(file.read_text(encoding="utf-8"))
        Scheme.of(parameters)  # what makes no sense fails the load and not a request
        return parameters

    def _open(self, directory: Path) -> OpenedServable | FastestServable:
        if self.loading.runtime == FASTEST and (directory / MANIFEST).is_file():
            return open_fastest(directory, self.loading, allow_lossy=self.allow_lossy)
        return load_servable(directory, self.loading, allow_lossy=self.allow_lossy)


def _links_out(meta_graph: Any, directory: Path) -> Iterator[str]:
    """Assets that lie in the SavedModel as links to what lies elsewhere."""
    inside = directory.resolve()
    for asset in asset_files(meta_graph):
        path = directory / "assets" / asset.filename
        if path.is_symlink() and not path.resolve().is_relative_to(inside):
            yield f"asset '{asset.filename}' is a link to {path.resolve()}"


def refuse_unsafe(path: Path, tags: Sequence[str] = SERVE) -> None:
    """Refuses a SavedModel whose graph reaches outside itself, or whose tables are filled from outside.

    Args:
        path: of the saved_model.pb, or .pbtxt.
        tags: of the graph that is to be loaded; what others do, as those to train with, is never run.

    Raises:
        ServingError: names each op and where it stands.
    """
    saved = read_graph(path)
    found = [
        str(reach)
        for meta_graph in saved.meta_graphs
        if set(meta_graph.meta_info_def.tags) in (set(tags), set(SERVE))  # a bundle's parts have the usual one
        for reach in (*reaches_of(meta_graph), *strays_of(meta_graph), *_links_out(meta_graph, path.parent))
    ]
    if found:
        raise ServingError(
            f"{path.parent} is not safe to serve: {'; '.join(found[:5])}{' ...' if len(found) > 5 else ''}",
            hint="if you trust it, start with --allow-unsafe-ops",
            fault=Fault.PERMISSION,
        )
