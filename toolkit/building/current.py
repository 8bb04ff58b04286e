"""The bundle of a model as its source is now: the newest one if nothing has changed, else a new one."""

from collections.abc import Callable
from pathlib import Path

from toolkit.building import jobs
from toolkit.building.catalog import Entry
from toolkit.building.isolate import Isolated
from toolkit.building.pipeline import Options, build_bundle
from toolkit.core.artifact import read_manifest
from toolkit.core.store import newest
from toolkit.errors import ExportError, ToolkitError

Report = Callable[[str, str], None]


def current_bundle(entry: Entry, options: Options, report: Report) -> Path:
    """The newest bundle whose source digest is the entry's; one is built where there is none, and `report` hears why.

    Raises:
        ToolkitError: it does not build.
    """
    bundle = newest(options.exported, entry.spec.name)
    if bundle is not None and _matches(bundle, entry):
        return bundle
    why = "no bundle of this source" if bundle is None else "its source has changed"
    report(entry.spec.name, f"{why}: building it")
    with Isolated() as child:
        child.prepare(jobs.warm_up)
        outcome = build_bundle(entry, options, child, lambda step: report(entry.spec.name, step))
    if outcome.error is not None:
        raise outcome.error
    if outcome.bundle is None:
        raise ExportError(f"{entry.spec.name} gave no bundle", hint=f"tfx-export build {entry.spec.name}")
    return outcome.bundle


def _matches(bundle: Path, entry: Entry) -> bool:
    try:
        return read_manifest(bundle).source.sha256 == entry.sha256
    except ToolkitError:
        return False
