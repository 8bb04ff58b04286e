"""Turns the path of an artifact into its Inspection: in a child process, with limits on memory and time."""

import resource
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from toolkit.building.isolate import ChildDied, Isolated
from toolkit.core.store import versions
from toolkit.errors import CatalogError, ParityError
from toolkit.insight.bounds import Budget, damaged, size_of
from toolkit.insight.inspection import Inspection
from toolkit.insight.modelscan import second_opinion
from toolkit.insight.reader import READERS

# protobuf, HDF5 and NumPy hold some copies of a file and some objects for each of its parts.
_MEMORY_FACTOR, _MEMORY_BYTES = 6, 1024**3


@dataclass(frozen=True)
class InspectOptions:
    """How to inspect.

    Args:
        timeout_s: how long reading one artifact may take.
        modelscan: whether modelscan is asked too, where it is installed.
    """

    timeout_s: float = 30.0
    modelscan: bool = True


def inspect(path: str | Path, options: InspectOptions | None = None) -> Inspection:
    """The facts of an artifact, without running it; what modelscan finds as well, where it is installed.

    A library that a hostile file crashes, fills or stops takes only a child process with it.

    Args:
        path: a bundle or a model's folder of bundles, a SavedModel, or a .tflite, .onnx or .keras file.
        options: limits, and who is asked.

    Raises:
        CatalogError: it is none of these.
        ParityError: it is damaged, cut off or hostile.
    """
    options = options or InspectOptions()
    place = _place(Path(path))
    with Isolated() as child:
        found = inspect_in(child, place, options.timeout_s)
    return second_opinion(found) if options.modelscan else found


def inspect_in(child: Isolated, path: Path, timeout_s: float) -> Inspection:
    """The facts, read in a child that is there already and does nothing else, for its memory is limited for good."""
    try:
        found: Inspection = child.run(read_limited, path, timeout_s=timeout_s)
    except ChildDied as error:
        raise damaged(f"{path} cannot be read: {error.message}", "no honest artifact does this") from error
    return found


def refusal(found: Inspection, kinds: Sequence[str]) -> ParityError | None:
    """What is said of findings of some kinds; None where there are none."""
    refused = [(part, finding) for part, finding in found.all_findings if finding.kind in kinds]
    if not refused:
        return None
    named = "; ".join(f"{part}: {finding}" if part else str(finding) for part, finding in refused[:3])
    more = f" and {len(refused) - 3} more" if len(refused) > 3 else ""
    return ParityError(f"{found.path}: {named}{more}", hint="docs/security.md says what each finding means")


def _place(path: Path) -> Path:
    """The path itself, or the newest version in a model's folder."""
    if not path.exists():
        raise CatalogError(
            f"there is no {path}", hint="give a bundle, a SavedModel, or a .tflite, .onnx or .keras file"
        )
    below = versions(path) if path.is_dir() else []
    return (path / str(below[-1]) if below else path).absolute()


def read_limited(path: Path) -> Inspection:
    """`read` with a limit on this process's memory: what the child runs."""
    READERS.load_all()  # their libraries are not what is to be limited
    limit_memory(_MEMORY_BYTES + _MEMORY_FACTOR * size_of(path))
    return read(path)


def read(path: Path, budget: Budget | None = None) -> Inspection:
    """The facts of an artifact, in this process."""
    readers = READERS.load_all()
    known = next((reader for reader in readers if reader.knows(path)), None)
    if known is None:
        examples = ", ".join(reader.example for reader in readers)
        raise CatalogError(f"{path} is no artifact", hint=f"give one of: {examples}")
    return known.read(path, budget or Budget())


def limit_memory(size_bytes: int) -> None:
    """Lets this process have that much more address space than it has, where the system can count it."""
    with suppress(OSError, ValueError):
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        wanted = pages * resource.getpagesize() + size_bytes
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (wanted if hard < 0 else min(wanted, hard), hard))
