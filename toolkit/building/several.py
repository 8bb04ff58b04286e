"""Builds models one after another, with one child for all their conversions, and tells how far it is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

from toolkit.building import jobs
from toolkit.building.catalog import Entry, resolve, resolve_object, shipped
from toolkit.building.isolate import Isolated
from toolkit.building.lossy import MAX_ACCURACY_DROP
from toolkit.building.pipeline import (
    STEPS,
    STEPS_A_FORMAT,
    Options,
    Outcome,
    build_bundle,
    check_settings,
    chosen_formats,
)
from toolkit.core.exporting import ExportSettings
from toolkit.core.parity import Allowed
from toolkit.core.store import find_root
from toolkit.errors import CatalogError, ToolkitError, UsageError

DEFAULT_TIMEOUT_S = 600.0


@dataclass(frozen=True)
class Step:
    """What a build is doing: which model, what is done to it, and how far all of it is."""

    model: str
    what: str
    at: int
    of: int


Reporter = Callable[[Step], None]
Finished = Callable[[Outcome | ToolkitError, int], None]


@dataclass(frozen=True)
class BuildRequest:
    """What to build and how; the fields are the options of `tfx-export build`.

    Args:
        models: references, ModelSpecs or factories of Keras models; none is every model of the project.
        root: the project's folder; None finds it from the current one.
    """

    models: Sequence[Any] = ()
    formats: Sequence[str] = ()
    out: Path | None = None
    timeout_s: float = DEFAULT_TIMEOUT_S
    allow_diff: Mapping[str, float] | None = None
    reason: str = ""
    keep_going: bool = False
    imports: Sequence[str] = ()
    unsafe_lambda: bool = False
    opset: int | None = None
    fixed_batch: int | None = None
    allow_flex: bool = False
    int8_io: bool = False
    max_accuracy_drop: float = MAX_ACCURACY_DROP
    root: str | Path | None = None
    verbose: bool = False


class BuildOptions(TypedDict, total=False):
    """The further options of `toolkit.build`, as in `tfx-export build --help`.

    `root` is the project's folder, in place of the one found from the current folder; `verbose` lets TensorFlow and
    the converters write what they like to stderr.
    """

    timeout_s: float
    allow_diff: Mapping[str, float]
    reason: str
    keep_going: bool
    imports: Sequence[str]
    unsafe_lambda: bool
    opset: int
    fixed_batch: int
    int8_io: bool
    allow_flex: bool
    max_accuracy_drop: float
    root: str | Path
    verbose: bool


def build_all(
    request: BuildRequest, report: Reporter = lambda step: None, finished: Finished = lambda outcome, of: None
) -> list[Outcome | ToolkitError]:
    """Build models one after another; a model that fails gives its error and the next one is built.

    Args:
        request: what to build.
        report: gets each step as it begins.
        finished: gets each outcome as soon as it is known, and how many there will be.
    """
    root, references = _wanted(request)
    options = _options(request, root)
    formats = chosen_formats(options.formats)  # a misspelt format is said before a minute of work
    check_settings(formats, options.settings)
    if not references:
        raise CatalogError(f"there are no models in {root / 'models'}", hint="name one: tfx-export build path/file.py")
    if len(references) > 1:
        _refuse_for_several(request)
    with Isolated(verbose=request.verbose) as child:
        child.prepare(jobs.warm_up)
        builds = _Builds(request, options, child, report, steps=STEPS + STEPS_A_FORMAT * len(formats))
        outcomes = []
        for at, reference in enumerate(references):
            outcomes.append(builds.build(reference, at, len(references)))
            finished(outcomes[-1], len(references))
    return outcomes


def references_of(request: BuildRequest) -> tuple[Path, list[str]]:
    """The project's folder, and a name for each model that is asked for."""
    root, references = _wanted(request)
    return root, [str(getattr(reference, "name", reference)) for reference in references]


def _wanted(request: BuildRequest) -> tuple[Path, list[Any]]:
    root = Path(request.root) if request.root else find_root(Path.cwd())
    return root, list(request.models) or list(shipped(root))


def _refuse_for_several(request: BuildRequest) -> None:
    if request.out:
        raise UsageError("--out is one bundle's directory, and there are several models", hint="build one at a time")
    if request.allow_diff:
        raise UsageError("--allow-diff is about one model, and there are several", hint="build that one by itself")


@dataclass
class _Builds:
    """Builds of several models with one child."""

    request: BuildRequest
    options: Options
    child: Isolated
    report: Reporter
    steps: int
    references: dict[str, str] = field(default_factory=dict)

    def build(self, reference: Any, at: int, of: int) -> Outcome | ToolkitError:
        """One of them, or what is wrong with it."""
        done = at * self.steps
        try:
            entry = find_model(reference, self.request)
            name = entry.spec.name
            before = self.references.setdefault(name, entry.reference)
            if before != entry.reference:
                raise CatalogError(f"{before} and {entry.reference} are both named '{name}'", hint="rename one of them")

            def tell(what: str) -> None:
                nonlocal done
                self.report(Step(name, what, done, of * self.steps))
                done += 1

            return build_bundle(entry, self.options, self.child, tell)
        except ToolkitError as error:
            return error


def find_model(reference: Any, request: BuildRequest) -> Entry:
    """The catalogue's entry of a reference."""
    root = Path(request.root) if request.root else find_root(Path.cwd())
    if isinstance(reference, str | Path):
        return resolve(str(reference), root, request.imports)
    return resolve_object(reference)


def _options(request: BuildRequest, root: Path) -> Options:
    if request.allow_diff and not request.reason:
        raise UsageError("--allow-diff needs a reason, which is written into the manifest", hint='--reason "..."')
    return Options(
        exported=root / "exported",
        formats=tuple(request.formats),
        out=request.out,
        timeout_s=request.timeout_s,
        allowed={name: Allowed(value, request.reason) for name, value in (request.allow_diff or {}).items()},
        keep_going=request.keep_going,
        unsafe_lambda=request.unsafe_lambda,
        settings=ExportSettings(
            request.opset, request.fixed_batch, request.allow_flex or None, request.int8_io or None
        ),
        max_accuracy_drop=request.max_accuracy_drop,
    )
