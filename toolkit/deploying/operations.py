"""Afterwards: go back, go forward again, see what is there, and clear what nobody needs."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from toolkit.core.files import storage_errors, sync_folder
from toolkit.deploying import publish, records
from toolkit.deploying.config_file import STABLE, ConfigFile
from toolkit.deploying.gate import Limits
from toolkit.deploying.layout import Layout
from toolkit.deploying.records import Record
from toolkit.deploying.requests import Server
from toolkit.deploying.rollout import STATUS_TIMEOUT_S, unanswered
from toolkit.errors import DeployError, ServingError, UsageError
from toolkit.runtimes.served import ask_status
from toolkit.wire.messages import Endpoint, Protocol, State, Target

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


def rollback_steps(layout: Layout, version: int | None, server: Server) -> list[Step]:
    """Goes back to a version; the one before unless named.

    Without a config every version above it is taken out, the newest last: a server then changes over only once. With
    one the label stable moves.

    Raises:
        DeployError: there is nothing to go back to.
        UsageError: the version is not there.
    """
    rollout = server.config_rollout(Limits())
    if rollout is not None:
        back = rollout.way_back(layout, version)
        return [Step(f"move {STABLE} to version {back}", lambda: rollout.move(layout, back, "rollback"))]
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
    above = [found for found in present if found > version]
    return [
        *(Step(f"take out version {found}", _withdrawing(layout, found)) for found in above),
        *_asked(layout, version, server),
    ]


def _withdrawing(layout: Layout, version: int) -> Callable[[], None]:
    return lambda: publish.withdraw(layout, version, "rolled back by hand")


def promote_steps(layout: Layout, version: int | None, server: Server) -> list[Step]:
    """Makes the canary stable, with a config; else brings back a version that was taken out, the newest unless named.

    Raises:
        DeployError: none was taken out.
        UsageError: there is no canary.
    """
    rollout = server.config_rollout(Limits())
    if rollout is not None:
        forward = rollout.way_forward(layout, version)
        return [Step(f"move {STABLE} to version {forward}", lambda: rollout.move(layout, forward, "promote"))]
    withdrawn = layout.withdrawn_versions()
    chosen = version if version is not None else max(withdrawn, default=None)
    if chosen is None or chosen not in withdrawn:
        raise DeployError(
            f"{layout.name} has no withdrawn version{'' if version is None else f' {version}'}",
            hint=f"withdrawn: {', '.join(map(str, withdrawn)) or 'none'}",
        )
    newest = max([chosen, *layout.versions()])
    return [
        Step(f"bring back version {chosen}", lambda: publish.restore(layout, chosen)),
        *(_asked(layout, chosen, server) if newest == chosen else ()),
    ]


def _asked(layout: Layout, version: int, server: Server) -> list[Step]:
    production = server.production(Limits())
    if production is None:
        return []

    def ask() -> None:
        wrong = unanswered(production, layout, version)
        if wrong:
            raise DeployError(
                f"version {version} does not answer: {wrong}",
                hint=f"it is in place all the same: `tfx-export rollback {layout.base_path}` goes to the one before",
            )

    return [Step(f"ask {production.grpc.address} for version {version}", ask)]


def gc_steps(layout: Layout, keep: int, protected: set[int]) -> list[Step]:
    """Removes all but the newest `keep` versions, live and withdrawn; never one that is served, labelled or pinned.

    Args:
        layout: the model's place.
        keep: how many of the newest stay, of the live and of the withdrawn ones.
        protected: the versions that a server or a config file names.

    Raises:
        UsageError: nothing would be left to serve.
    """
    if keep < 1:
        raise UsageError(f"--keep {keep} would leave nothing to serve", hint="keep at least 1")
    present, withdrawn = layout.versions(), layout.withdrawn_versions()
    # The newest is what a server on its default policy answers with, asked or not.
    spared = protected | layout.pinned()
    return [
        Step(f"remove version {version}", _removing(layout, version))
        for version in present[:-keep]
        if version not in spared
    ] + [
        Step(f"remove withdrawn version {version}", _removing(layout, version))
        for version in withdrawn[:-keep]
        if version not in spared and version not in present
    ]


def _removing(layout: Layout, version: int) -> Callable[[], None]:
    def remove() -> None:
        with storage_errors(layout.trash):
            for path in (*layout.version_paths(version), layout.withdrawn_path(version), layout.proof(version)):
                if os.path.lexists(path):
                    layout.discard(path)
        records.append(layout, Record("gc", version, "done"))

    return remove


def pin_steps(layout: Layout, version: int, *, keep: bool) -> list[Step]:
    """Pins a version, so that gc keeps it whatever comes after it, or lets it go again.

    Raises:
        UsageError: there is no such version.
    """
    known = sorted({*layout.versions(), *layout.withdrawn_versions()})
    if keep and version not in known:
        raise UsageError(
            f"{layout.base_path} has no version {version}", hint=f"it has {', '.join(map(str, known)) or 'none'}"
        )
    if keep is (version in layout.pinned()):
        return []

    def pin() -> None:
        with storage_errors(layout.pins):
            layout.pins.mkdir(parents=True, exist_ok=True)
            (layout.pins / str(version)).touch()
            sync_folder(layout.pins)

    def unpin() -> None:
        with storage_errors(layout.pins):
            (layout.pins / str(version)).unlink(missing_ok=True)
            sync_folder(layout.pins)

    return [Step(f"{'pin' if keep else 'unpin'} version {version}", pin if keep else unpin)]


def needed_versions(layout: Layout, server: Server) -> set[int]:
    """The versions that a server has in memory, or is about to, and those that its config names.

    Raises:
        UnavailableError: it does not answer, so that nothing is known of what it needs.
    """
    named = set() if server.config is None else ConfigFile(server.config.absolute()).read(layout).named
    endpoint = server.endpoint(Protocol.GRPC)
    if endpoint is None:
        return named
    status = ask_status(endpoint, Target(layout.name), STATUS_TIMEOUT_S)
    return named | {found.version for found in status.versions if found.state is not State.END}


def list_versions(layout: Layout, server: Server) -> list[VersionFacts]:
    """Every version, live and withdrawn, oldest first; with states and labels where a server and a config are named.

    Raises:
        UnavailableError: the named server does not answer.
    """
    labels = {} if server.config is None else ConfigFile(server.config.absolute()).read(layout).labels or {}
    endpoint = server.endpoint(Protocol.GRPC)
    published = {record.version: record for record in records.read(layout) if record.step == "publish"}
    pinned, states = layout.pinned(), _states(layout, endpoint)
    places = {"live": layout.versions(), "withdrawn": layout.withdrawn_versions()}
    found = [
        VersionFacts(
            version=version,
            place=place,
            state=states.get(version, "UNKNOWN" if endpoint else "") if place == "live" else "",
            labels=[label for label, labelled in sorted(labels.items()) if labelled == version],
            pinned=version in pinned,
            **_published(layout, version, published.get(version)),
        )
        for place, versions in places.items()
        for version in versions
    ]
    return sorted(found, key=lambda facts: facts.version)


def _states(layout: Layout, server: Endpoint | None) -> Mapping[int, str]:
    if server is None:
        return {}
    try:
        status = ask_status(server, Target(layout.name), STATUS_TIMEOUT_S)
    except ServingError:
        return {}  # the server is there, and knows no such model
    return {version: state.name for version, state in status.states().items()}


def _published(layout: Layout, version: int, record: Record | None) -> dict[str, Any]:
    """Digest, time and figures; from the version itself where the record is lost."""
    if record is not None:
        figures = dict(record.facts)
        return {"digest": str(figures.pop("sha256", "")), "when": record.when, "figures": figures}
    facts = publish.read_facts(layout, version)
    gate = facts.get("gate")
    return {
        "digest": str(facts.get("sha256", "")),
        "when": str(facts.get("when", "")),
        "figures": gate if isinstance(gate, dict) else {},
    }
