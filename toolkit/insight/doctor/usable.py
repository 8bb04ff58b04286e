"""Says which formats, runtimes, servers and tools can be used here, and how to get the others."""

import shutil
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from importlib.metadata import packages_distributions
from importlib.util import find_spec

from toolkit.core.plugins import FORMATS, RUNTIMES, Registry
from toolkit.deploying.commands import DEFAULT_IMAGE, BinaryCommand, Command, DockerCommand, EmbeddedCommand
from toolkit.errors import UnavailableError, UsageError
from toolkit.insight.doctor.check import Check, State

# How to get a server that is not here; what was wrong with it, its own class says.
_GET = {
    "binary": "https://www.tensorflow.org/tfx/serving/setup has packages of tensorflow_model_server",
    "docker": f"start the daemon (systemctl start docker), then docker pull {DEFAULT_IMAGE}",
}
_TOOLS = {"modelscan": "pip install modelscan, in an environment of its own: a second opinion for `tfx-export inspect`"}


def usable_checks(
    servers: "dict[str, Callable[[], Command]] | None" = None, wanted: Iterable[str] = ()
) -> Iterator[Check]:
    """Formats, runtimes, servers, tools.

    Args:
        servers: name to what makes its command, which asks whether it is there.
        wanted: formats without which there is no going on.
    """
    yield from _plugins("formats", FORMATS, frozenset(wanted))
    yield from _plugins("runtimes", RUNTIMES, frozenset())
    for name, make in (SERVERS if servers is None else servers).items():
        yield _server(name, make)
    for tool, how in _TOOLS.items():
        place = shutil.which(tool)
        yield Check(
            "tools", tool, State.OK if place else State.ABSENT, place or "it is not installed", "" if place else how
        )


SERVERS: dict[str, Callable[[], Command]] = {
    "embedded": EmbeddedCommand,
    "binary": BinaryCommand,
    "docker": DockerCommand,
}


def _plugins(area: str, registry: Registry, wanted: frozenset[str]) -> Iterator[Check]:  # type: ignore[type-arg]
    unknown = wanted - set(registry.names())
    for name in unknown:
        yield Check(area, name, State.MISSING, "there is no such format", f"known: {', '.join(registry.names())}")
    for name in registry.names():
        gone = State.MISSING if name in wanted else State.ABSENT
        try:
            libraries = registry.load(name).libraries
        except UsageError as error:
            yield Check(area, name, gone, error.message, error.hint)
            continue
        lacking = [library for library in libraries if find_spec(library.partition(".")[0]) is None]
        if lacking:
            yield Check(area, name, gone, f"{', '.join(lacking)} is not installed", f"pip install {_sources(lacking)}")
        else:
            yield Check(area, name, State.OK, "usable")


def _sources(modules: list[str]) -> str:
    """The distributions that bring some modules, as far as their names tell."""
    return " ".join(_known().get(module.partition(".")[0], [module.replace("_", "-")])[0] for module in modules)


@cache
def _known() -> dict[str, list[str]]:
    return dict(packages_distributions())


def _server(name: str, make: Callable[[], Command]) -> Check:
    try:
        command = make()
    except UnavailableError as error:
        return Check("servers", name, State.ABSENT, error.message, _GET.get(name, error.hint))
    version = command.version()
    return Check("servers", name, State.OK, f"usable, with TensorFlow {version}" if version else "usable")
