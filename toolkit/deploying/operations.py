"""Afterwards: go back, go forward again, see what is there, and clear what nobody needs."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from toolkit.core.files import storage_errors, sync_folder
from toolkit.deploying import publish, records
from toolkit.deploying.layout import Layout
from toolkit.deploying.records import Record
from toolkit.deploying.servers import state_of
from toolkit.errors import DeployError, UsageError
from toolkit.wire.messages import Endpoint, Target

Tell = Callable[[str], None]


@dataclass(frozen=True)
class VersionFacts:
    """One version as `tfx-export versions` shows it.

    Args:
        place: live (where a server looks) or withdrawn.
        state: what a named server says of it.
        digest: of the SavedModel's files; empty for a directory put there by hand.
    """

    version: int
    place: str
    state: str = ""
    labels: Sequence[str] = ()
    pinned: bool = False
    digest: str = ""
    when: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """Something that an operation does, or with --dry-run would do."""

    text: str
    act: Callable[[], None]


def carry_out(steps: Sequence[Step], tell: Tell, *, dry_run: bool) -> None:
    """Does the steps in order, or says them."""
    for step in steps:
        tell(f"would {step.text}" if dry_run else step.text)
        if not dry_run:
            step.act()


def rollback_steps(layout: Layout, version: int | None) -> list[Step]:
    """Takes out every version above the one to go back to, the newest first.

    Raises:
        DeployError: there is nothing to go back to.
    """
    present = layout.versions()
    if version is None:
        if len(present) < 2:
            raise DeployError(
                f"{layout.base_path} has no version to go back to",
                hint=f"it has {', '.join(map(str, present)) or 'none'}; deploy another bundle",
            )
        version = present[-2]
    if version not in present:
        raise UsageError(
            f"{layout.base_path} has no version {version}", hint=f"it has {', '.join(map(str, present)) or 'none'}"
        )
    return [
        Step(f"take out version {above}", _withdrawing(layout, above))
        for above in sorted((found for found in present if found > version), reverse=True)
    ]


def _withdrawing(layout: Layout, version: int) -> Callable[[], None]:
    return lambda: publish.withdraw(layout, version, "rolled back by hand")


def promote_steps(layout: Layout, version: int | None) -> list[Step]:
    """Brings back a version that was taken out; the newest one unless named.

    Raises:
        DeployError: none was taken out.
    """
    withdrawn = layout.withdrawn_versions()
    chosen = version if version is not None else max(withdrawn, default=None)
    if chosen is None or chosen not in withdrawn:
        raise DeployError(
            f"{layout.name} has no withdrawn version{'' if version is None else f' {version}'}",
            hint=f"withdrawn: {', '.join(map(str, withdrawn)) or 'none'}",
        )
    return [Step(f"bring back version {chosen}", lambda: publish.restore(layout, chosen))]


def gc_steps(layout: Layout, keep: int, protected: set[int]) -> list[Step]:
    """Removes all but the newest `keep` versions; never one that is served, labelled or pinned.

    Args:
        layout: the model's place.
        keep: how many of the newest stay.
        protected: the versions that a server or a config file names.
    """
    if keep < 1:
        raise UsageError(f"--keep {keep} would leave nothing to serve", hint="keep at least 1")
    present = layout.versions()
    # The newest is what a server on its default policy answers with, asked or not.
    spared = set(present[-keep:]) | protected | layout.pinned()
    return [
        Step(f"remove version {version}", _removing(layout, version)) for version in present if version not in spared
    ]


def _removing(layout: Layout, version: int) -> Callable[[], None]:
    def remove() -> None:
        publish.withdraw(layout, version, "removed by gc")
        with storage_errors(layout.withdrawn):
            shutil.rmtree(layout.withdrawn / str(version))
            shutil.rmtree(layout.proof(version), ignore_errors=True)
            sync_folder(layout.withdrawn)
        records.append(layout, Record("gc", version, "done"))

    return remove


def served_versions(layout: Layout, server: Endpoint | None) -> set[int]:
    """The versions that a server has in memory; without a server, the newest on disk."""
    present = layout.versions()
    if server is None:
        return set(present[-1:])
    return {version for version in present if _state(server, layout, version) in {"AVAILABLE", "LOADING", "START"}}


def list_versions(layout: Layout, server: Endpoint | None = None) -> list[VersionFacts]:
    """Every version, live and withdrawn, oldest first."""
    published = {record.version: record for record in records.read(layout) if record.step == "publish"}
    pinned = layout.pinned()
    found = []
    for place, versions in (("live", layout.versions()), ("withdrawn", layout.withdrawn_versions())):
        for version in versions:
            record = published.get(version)
            figures = {key: value for key, value in (record.facts if record else {}).items() if key != "sha256"}
            found.append(
                VersionFacts(
                    version=version,
                    place=place,
                    state=_state(server, layout, version) if server is not None and place == "live" else "",
                    pinned=version in pinned,
                    digest=str(record.facts.get("sha256", "")) if record else "",
                    when=record.when if record else "",
                    figures=figures,
                )
            )
    return sorted(found, key=lambda facts: facts.version)


def _state(server: Endpoint, layout: Layout, version: int) -> str:
    status = state_of(server, Target(layout.name, version))
    return status.state.name if status is not None else "UNKNOWN"
