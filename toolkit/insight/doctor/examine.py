"""Puts all that doctor looks at into one report."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from toolkit.core.artifact import MANIFEST, read_manifest
from toolkit.core.model import TracedModel
from toolkit.core.store import find_root, versions
from toolkit.errors import ToolkitError, UnavailableError
from toolkit.insight.doctor.check import Check, State
from toolkit.insight.doctor.machine import machine_checks, unfit
from toolkit.insight.doctor.outlook import ModelOutlook, outlook_of
from toolkit.insight.doctor.server import server_checks
from toolkit.insight.doctor.stack import declared, installed, stack_checks
from toolkit.insight.doctor.usable import usable_checks


@dataclass(frozen=True)
class DoctorRequest:
    """What to look at, besides the machine.

    Args:
        model: a reference, as `tfx-export build` takes it; None for none.
        server: HOST:PORT of a server; None for none.
        formats: artifacts that must be possible; none is all, and then none must.
        imports: modules that register custom Keras classes.
        unsafe_lambda: load Lambda layers, which run code that is in the file.
    """

    model: str | None = None
    server: str | None = None
    formats: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()
    unsafe_lambda: bool = False


@dataclass(frozen=True)
class Examination:
    """What doctor found."""

    checks: tuple[Check, ...]
    outlook: ModelOutlook | None = None

    @property
    def unfit(self) -> list[str]:
        """Why a measurement here and now would be poor; empty where it would be sound."""
        return [f"{check.text} ({check.hint})" for check in unfit(list(self.checks))]

    @property
    def missing(self) -> list[Check]:
        """What is needed and not there."""
        return [check for check in self.checks if check.state is State.MISSING]

    def to_json(self) -> dict[str, Any]:
        """The same as a document."""
        return {
            "checks": [check.to_json() for check in self.checks],
            "fit_to_measure": not self.unfit,
            "unfit": self.unfit,
            "missing": [check.name for check in self.missing],
            "model": self.outlook.to_json() if self.outlook else None,
        }


def examine(request: DoctorRequest | None = None) -> Examination:
    """The machine, the stack, what is usable, and a server and a model where they are given.

    Raises:
        ToolkitError: the model does not load or cannot be traced.
    """
    request = request or DoctorRequest()
    checks = [*machine_checks(), *stack_checks(installed(), declared(), os.environ)]
    checks += usable_checks(wanted=request.formats)
    bundle = _bundle(request.model)
    if request.server is not None:
        checks += server_checks(request.server, _exporter(bundle), _name(request.model, bundle))
    # Without what a build needs there is nothing to trace a model with.
    blocked = any(check.state is State.MISSING and check.area in {"stack", "formats"} for check in checks)
    if request.model is None or blocked or bundle is not None:
        return Examination(tuple(checks))
    return Examination(tuple(checks), outlook_of(_traced(request), request.formats))


def lacking(found: Examination) -> ToolkitError | None:
    """What is said where something needed is missing; None where nothing is."""
    if not found.missing:
        return None
    named = "; ".join(f"{check.name}: {check.text}" for check in found.missing)
    return UnavailableError(named, hint=found.missing[0].hint)


def _bundle(reference: str | None) -> Path | None:
    """The bundle that a reference means, whose conversions are done."""
    if reference is None or not Path(reference).is_dir():
        return None
    place = Path(reference)
    below = versions(place)
    place = place / str(below[-1]) if below else place
    return place if (place / MANIFEST).is_file() else None


def _exporter(bundle: Path | None) -> str:
    if bundle is not None:
        return str(read_manifest(bundle).toolchain.get("tensorflow", "unknown"))
    try:
        return version("tensorflow")
    except PackageNotFoundError:
        return "unknown"


def _name(reference: str | None, bundle: Path | None) -> str:
    if bundle is not None:
        return read_manifest(bundle).model
    return reference if reference and reference.isidentifier() else ""


def _traced(request: DoctorRequest) -> TracedModel:
    from toolkit.building.catalog import resolve  # late: these load TensorFlow
    from toolkit.building.load import build_model
    from toolkit.building.trace import trace_model

    assert request.model is not None
    spec = resolve(request.model, find_root(Path.cwd()), request.imports).spec
    return trace_model(spec, build_model(spec, unsafe_lambda=request.unsafe_lambda))


def by_area(checks: tuple[Check, ...]) -> Iterator[tuple[str, list[Check]]]:
    """Checks in the order of their areas."""
    for area in dict.fromkeys(check.area for check in checks):
        yield area, [check for check in checks if check.area == area]
