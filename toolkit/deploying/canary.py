"""Config mode: a version is added, labelled canary, asked by label, and then stable moves, each in a request."""

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from toolkit.deploying import gate, publish, records
from toolkit.deploying.config_file import CANARY, STABLE, ConfigFile, Entry
from toolkit.deploying.gate import Finding
from toolkit.deploying.layout import Layout
from toolkit.deploying.proofs import Proof, proof_of
from toolkit.deploying.records import Record
from toolkit.deploying.rollout import STATUS_TIMEOUT_S, Production, Tell, answers_again
from toolkit.errors import DeployError, ServingError, ToolkitError, UsageError
from toolkit.runtimes.served import ask_label, ask_reload, ask_status
from toolkit.wire.messages import Target

_POLL_S = 0.05


@dataclass(frozen=True)
class ConfigRollout:
    """For a server whose models.config is ours.

    Args:
        by_request: send the file's text in a HandleReloadConfigRequest too; else the server has to poll the file.
        hold: stop at the canary; `promote` then moves stable.
    """

    config: ConfigFile
    production: Production
    by_request: bool = True
    hold: bool = False

    def check(self, layout: Layout) -> None:
        """Refuses a file in which the model is not ours to move, and a server that is not there to be told.

        Raises:
            UnavailableError: nobody answers.
        """
        self.config.read(layout)
        with suppress(ServingError):  # it answers, and knows no such model yet
            ask_status(self.production.grpc, Target(layout.name), STATUS_TIMEOUT_S)

    def steps(self) -> Sequence[str]:
        """What it would do, in words."""
        move = () if self.hold else (f"move the label {STABLE} in a second request, and ask by it",)
        return (f"add the version to {self.config.path}", f"label it {CANARY} and ask by that label", *move)

    def current(self, layout: Layout) -> int | None:
        """The version labelled stable, else the newest of the policy that is there."""
        entry, present = self.config.read(layout), layout.versions()
        stable = entry.label(STABLE)
        chosen = stable if stable is not None else max(entry.versions, default=None)
        return chosen if chosen in present else None

    def apply(self, layout: Layout, entry: Entry) -> None:
        """Tells the server.

        Raises:
            ToolkitError: it refused, or does not answer; the file says it all the same.
        """
        with self.config.alone():
            text = self.config.write(layout, entry)
            if self.by_request:
                ask_reload(self.production.grpc, text, self.production.limits.load_timeout_s)

    def carry_out(self, layout: Layout, version: int, proof: Proof, tell: Tell) -> Sequence[Finding]:
        """Canary, then stable. The caller holds the model's lock.

        Raises:
            DeployError: it was wrong, slow or missing; the file and the server are as before, and were asked.
        """
        before = self.config.read(layout)
        findings: list[Finding] = []
        try:
            for found in self._tried(layout, version, proof):
                tell(f"rollout: {'ok  ' if found.passed else 'FAIL'} {found.name}: {found.text}")
                findings.append(found)
                records.append(layout, _record(version, found))
        except KeyboardInterrupt:
            # Nobody has seen it answer: it must not become or stay what clients get.
            tell(f"interrupted: {self._back(layout, before, tell)}")
            publish.withdraw(layout, version, "interrupted before it was known to be right")
            raise
        reason = "; ".join(f"{found.name}: {found.text}" for found in findings if not found.passed)
        if not reason:
            records.append(layout, Record("rollout", version, "done", f"{len(findings)} findings"))
            return findings
        hint = self._back(layout, before, tell)
        publish.withdraw(layout, version, reason)
        raise DeployError(f"version {version} was taken out again: {reason}", hint=hint)

    def _tried(self, layout: Layout, version: int, proof: Proof) -> Iterator[Finding]:
        try:
            yield from self._canary(layout, version)
            answers = list(self.production.findings(Target(layout.name, label=CANARY), proof))
            yield from answers
            if not self.hold and all(found.passed for found in answers):
                yield from self.move_stable(layout, version, proof)
        except ToolkitError as error:
            yield Finding("production", False, error.message)

    def _canary(self, layout: Layout, version: int) -> Iterator[Finding]:
        entry, target = self.config.read(layout), Target(layout.name, version)
        entry = entry.having((*entry.versions, version), entry.labels or {})
        # A label to a version that is not loaded is refused, and with it the version: two requests.
        self.apply(layout, entry)
        self.production.wait_until_available(target)
        yield Finding("add", True, f"version {version} is AVAILABLE")
        self.apply(layout, entry.having(entry.versions, {**(entry.labels or {}), CANARY: version}))
        self._wait_for_label(layout, CANARY, version)
        yield Finding(CANARY, True, f"the label stands for version {version}")

    def move_stable(self, layout: Layout, version: int, proof: Proof | None) -> Iterator[Finding]:
        """Moves stable to a version that is loaded, and asks it; the one before stays loaded, to go back to."""
        entry = self.config.read(layout)
        labels = {**(entry.labels or {}), STABLE: version}
        before = entry.label(STABLE)
        self.apply(layout, entry.having(entry.versions, labels))
        self._wait_for_label(layout, STABLE, version)
        yield Finding(STABLE, True, f"the label stands for version {version}")
        if proof is not None:
            for found in gate.check_answers(self.production.endpoints, Target(layout.name, label=STABLE), proof):
                yield Finding(f"{STABLE}: {found.name}", found.passed, found.text)
                if not found.passed:
                    return
        # Only now: what is unloaded could not be labelled again at once.
        kept = {version, before if before is not None else max(set(entry.versions) - {version}, default=version)}
        if not set(entry.versions) <= {*kept, *labels.values()}:
            self.apply(layout, entry.having(kept, labels))

    def _back(self, layout: Layout, before: Entry, tell: Tell) -> str:
        stable = before.label(STABLE)
        served = stable if stable is not None else max(before.versions, default=None)
        try:
            self.apply(layout, before)
        except ToolkitError as error:
            return f"{self.config.path} is as before, but the server was not told: {error.message}"
        if served is None:
            return "there is no version before it to go back to"
        return answers_again(self.production, layout, served, tell)

    def _wait_for_label(self, layout: Layout, label: str, version: int) -> None:
        deadline = time.monotonic() + self.production.limits.load_timeout_s
        while (left_s := deadline - time.monotonic()) > 0:
            if ask_label(self.production.grpc, Target(layout.name, label=label), left_s) == version:
                return
            time.sleep(_POLL_S)
        raise DeployError(
            f"the label {label} did not come to stand for version {version}",
            hint="does the server poll the file? --reload-by request tells it",
        )

    def way_forward(self, layout: Layout, version: int | None) -> int:
        """The version that a promotion would make stable: the canary unless named.

        Raises:
            UsageError: there is none.
        """
        chosen = version if version is not None else self.config.read(layout).label(CANARY)
        if chosen is None or chosen not in layout.versions():
            raise UsageError(
                f"{layout.name} has no {'canary' if version is None else f'version {version}'} to promote",
                hint=f"on disk: {', '.join(map(str, layout.versions())) or 'none'}",
            )
        return chosen

    def way_back(self, layout: Layout, version: int | None) -> int:
        """The version that a rollback would go to.

        Raises:
            UsageError: there is none.
        """
        entry, present = self.config.read(layout), layout.versions()
        stable = entry.label(STABLE)
        if version is None and stable is not None:
            loaded = [found for found in entry.versions if found < stable and found in present]
            version = max(loaded, default=max((found for found in present if found < stable), default=None))
        if version is None or version not in present:
            raise UsageError(
                f"{layout.name} has no version to go back to{'' if version is None else f' with number {version}'}",
                hint=f"{STABLE} is {stable or 'nowhere'}; on disk: {', '.join(map(str, present)) or 'none'}",
            )
        return version

    def move(self, layout: Layout, version: int, step: str) -> None:
        """Moves stable to a version, loading it first where need be. The caller holds the model's lock.

        Raises:
            DeployError: it did not answer right; the file and the server are as before.
        """
        before = self.config.read(layout)
        try:
            if version not in before.versions:
                self.apply(layout, before.having((*before.versions, version), before.labels or {}))
            self.production.wait_until_available(Target(layout.name, version))
            findings = list(self.move_stable(layout, version, proof_of(layout, version)))
            wrong = "; ".join(f"{found.name}: {found.text}" for found in findings if not found.passed)
        except ToolkitError as error:
            wrong = error.message
        if wrong:
            records.append(layout, Record(step, version, "refused", wrong))
            raise DeployError(f"{STABLE} did not move: {wrong}", hint=self._back(layout, before, lambda text: None))
        records.append(layout, Record(step, version, "done", f"{STABLE} is version {version}"))


def _record(version: int, found: Finding) -> Record:
    return Record(found.name, version, "done" if found.passed else "refused", found.text, dict(found.facts))
